"""What a step costs with each scheme, relative to equal weights: measured, not estimated.

CPU seconds of a training step with the scheme over those of one with `equal`, both in one process on one thread: 64 lanes of the
benchmark's medium problem (six tasks, trunk 64-64, batch 256), median of five rounds, by `python -m mtl_core bench --schemes`
(AMD EPYC, torch 2.13). A difference of 0.1 is within the noise. On smaller batches a scheme's own arithmetic weighs more.
"""

from __future__ import annotations

COSTS: dict[str, float] = {
    "equal": 1.0,
    "fixed": 1.0,
    "uncertainty": 1.0,
    "softplus": 1.0,
    "liebel_korner": 1.0,
    "imtl_l": 1.0,
    "famo": 1.5,
    "dwa": 1.0,
    "gls": 1.0,
    "scale_invariant": 1.0,
    "uw_o": 1.0,
    "uw_so": 1.0,
    "rlw": 1.0,
    "stch": 1.0,
    "softadapt": 1.0,
    "amnl": 1.0,
    "adaptive": 1.1,
    "a3dro": 1.0,
    "igb": 1.0,
    "gradnorm": 2.2,
    "mgda": 2.9,
    "pcgrad": 3.0,
    "gradvac": 3.1,
    "cagrad": 3.1,
    "imtl_g": 3.1,
    "nash_mtl": 2.9,
    "fairgrad": 2.9,
    "pivrg": 3.1,
    "aligned_mtl": 3.0,
    "upgrad": 3.1,
    "dualproj": 3.0,
    "config": 3.0,
    "pcd": 3.0,
    "ntkmtl": 3.0,
    "graddrop": 4.5,
    "excess_mtl": 3.9,
    "db_mtl": 3.9,
    "moco": 3.7,
}
