"""A process of a training on several, started as torchrun starts one: see test_ranks.py.

It trains into the folder of its argument, and leaves its weights and its first gradients there.
"""

import contextlib
import sys
from pathlib import Path

import torch
from safetensors.torch import save_file

from truez.mesh.box import Box
from truez.mesh.field import Field
from truez.networks import build_network
from truez.networks.survey_limits import SurveyLimits
from truez.training import (
    Ranks,
    Run,
    Samples,
    TrainingConfig,
    Validation,
    joined,
    train,
    train_on_views,
)
from truez.training.objective import mean_squared_error

#: No batch statistics and no dropout: gradients then depend on the samples alone.
NETWORK = {
    "spec_width": 2, "photo_width": 2, "multipliers": (1,), "kernels": (3,), "repeats": (0,),
    "head_width": 4, "dropout": 0.0, "norm": "none",
}  # fmt: skip
SURVEY = SurveyLimits(
    z_err=(0.01, 0.01), sigma=(20, 20), outlier_fraction=(0, 0), spec_density=(1e-3, 1e-3),
    photo_density=(1e-2, 1e-2), overlap=(1, 1), resampler="cic", redshift_space=True,
)  # fmt: skip
CONFIG = TrainingConfig(
    steps=4, crop=(8, 8, 8), batch=1, validate_every=2, checkpoint_every=2, learning_rate=1e-3,
    clip=1.0, ema=0.8, seed=3,
)  # fmt: skip


def fields():
    box = Box(12, 12, periodic=False)
    values = torch.randn(3, 12, 12, 12, generator=torch.Generator().manual_seed(4))
    return tuple(Field(v, box, "delta") for v in values)


def samples(num_ranks):
    return Samples(fields(), [((0, 0, 0), (8, 12, 12))], CONFIG.crop, batch=1, seed=3,
                   num_ranks=num_ranks)  # fmt: skip


def network():
    return build_network("dual-unet", NETWORK, seed=2)


def trained(out, source, **how):
    made = network()
    validation = Validation.of(fields(), [((9, 0, 0), (12, 12, 12))])
    return made, train(CONFIG, made, source, validation, Run(Path(out), SURVEY, **how))


def gradients(loss_of, made, sample):
    torch.autograd.backward(loss_of(sample))
    return {name: parameter.grad for name, parameter in made.named_parameters()}


class StoppedError(Exception):
    pass


def stop(task, done, total, note=""):
    if done == 3:
        raise StoppedError


#: A network with an error head that the loss does not reach, and an optimiser that shares its
#: memory; crops are whole views, so that one process with both has the same samples.
VIEWS = {
    "network": {
        "architecture": "column-net", "widths": [8, 12], "blocks": [1, 1, 1], "along": 3,
        "embedding": 4, "conditions": "local",
    },
    "training": {
        "steps": 2, "crop": [8, 8, 0], "batch": 1, "margin": 2, "learning_rate": 1e-3,
        "optimizer": "muon", "validate_every": 1, "symmetries": False, "bf16": False,
    },
    "views": {"validation_crop": [8, 8], "validation_margin": 1},
}  # fmt: skip


def main(out):
    torch.set_num_threads(1)
    with joined("cpu") as device:
        train_on_views(VIEWS, out / "views", out=out / "columns", device=device)
        ranks, cpu = Ranks.current(), torch.device(device)
        source, made = samples(ranks.num_ranks), network()
        loss = ranks.averaged(made, lambda one: mean_squared_error(made, one, CONFIG, cpu))
        found = gradients(loss, made, source.draw(0, ranks.rank))
        save_file(found, out / f"gradients-{ranks.rank}.safetensors")
        del loss, made
        for name in ("straight", "stopped"):
            if name == "stopped":
                with contextlib.suppress(StoppedError):
                    trained(out / name, source, progress=stop)
            made, state = trained(out / name, source, resume=name == "stopped")
            assert name == "stopped" or (state.best is not None) == ranks.writes
            save_file(made.state_dict(), out / f"{name}-{ranks.rank}.safetensors")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
