"""What ``truez --version``, ``--cite`` and ``--plugins`` print."""

from __future__ import annotations

import typer

from truez import __version__

#: The year of this version.
YEAR = 2026
CITATION = """% If you use truez, please cite it, and the paper whose task it takes up.
@software{{truez,
  author  = {{{{truez developers}}}},
  title   = {{{{truez}}: the density field in true redshift space, from two galaxy surveys}},
  version = {{{version}}},
  year    = {{{year}}}
}}

@article{{Du2025,
  author        = {{Du, Wenying and Luo, Xiaolin and Jiang, Zhujun and Xiao, Xu and Lin, Qiufan and
                   Wang, Xin and Wang, Yang and Yin, Fenfen and Zhang, Le and Li, Xiao-Dong}},
  title         = {{{{AI-Driven Reconstruction of Large-Scale Structure from Combined Photometric
                   and Spectroscopic Surveys}}}},
  journal       = {{arXiv e-prints}},
  year          = {{2025}},
  eprint        = {{2504.06309}},
  archiveprefix = {{arXiv}},
  doi           = {{10.48550/arXiv.2504.06309}}
}}
"""


def print_version(wanted: bool) -> None:
    """Print the version of truez, and stop."""
    if wanted:
        typer.echo(f"truez {__version__}")
        raise typer.Exit


def print_citation(wanted: bool) -> None:
    """Print what to cite, as BibTeX, and stop."""
    if wanted:
        typer.echo(CITATION.format(version=__version__, year=YEAR), nl=False)
        raise typer.Exit


def print_plugins(wanted: bool) -> None:
    """Print what other packages add, and stop; one that is broken is a line among the others."""
    if not wanted:
        return
    lines = _plugins()
    typer.echo("\n".join(lines) if lines else "no installed package adds to truez")
    raise typer.Exit


def _plugins() -> list[str]:
    """A line for each plug-in, with the reason why it cannot be used where that is so."""
    from truez.catalogs.formats import formats
    from truez.catalogs.formats._plugin import suffix_of
    from truez.reconstruct import METHODS
    from truez.sky.registry import METHODS as SKY_METHODS
    from truez.support.plugins import PluginError, plugins

    lines = []
    for plugin in plugins("truez.methods"):
        places, errors = [], []
        for where, known in (("in a box", METHODS), ("on the sky", SKY_METHODS)):
            try:
                known[plugin.name]
            except PluginError as error:
                errors.append(str(error))
            else:
                places.append(f"{where} not used: {OWN}" if known.own(plugin.name) else where)
        found = f"{plugin}: {', '.join(places)}" if places else errors[0]
        lines.append(found)
    for plugin in plugins("truez.formats"):
        suffix = suffix_of(plugin.name)
        try:
            name = formats()[suffix].NAME
        except PluginError as error:
            lines.append(str(error))
        else:
            own = formats().own(suffix)
            lines.append(f"{plugin}: {f'not used: {OWN}' if own else f'{name}, {suffix}'}")
    return [line[0].upper() + line[1:] for line in lines]


#: Of a plug-in under a name that truez uses.
OWN = "truez has its own of that name"
