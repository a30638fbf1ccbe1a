"""HATS catalogues as others write them, for tests."""

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from truez.mesh.healpix import nested


def write_hats(folder, columns, *, sky=("ra", "dec"), nested_folder="dataset/", order=2):
    """A HATS catalogue of pixels of two orders; returns its rows in its order."""
    ra, dec = (columns[name] for name in sky)
    fine, coarse = nested(ra, dec, 2**29), nested(ra, dec, 2**order)
    # The odd pixels of the lower order are divided into four.
    lower = np.where(coarse % 2, 4 * coarse + (fine >> 2 * (29 - order - 1)) % 4, coarse)
    table = pa.table({"_healpix_29": fine, **columns}).take(pa.array(np.argsort(fine)))
    orders = np.where(coarse % 2, order + 1, order)
    listed = []
    for level, pixel in sorted(set(zip(orders.tolist(), lower.tolist(), strict=True))):
        own = nested(*(table[name].to_numpy() for name in sky), 2**level) == pixel
        path = folder / f"{nested_folder}Norder={level}/Dir={pixel // 10000 * 10000}"
        path.mkdir(parents=True, exist_ok=True)
        pq.write_table(table.filter(pa.array(own)), path / f"Npix={pixel}.parquet")
        listed.append(f"{level},{pixel}")
    (folder / "partition_info.csv").write_text("\n".join(["Norder,Npix", *listed, ""]))
    return table
