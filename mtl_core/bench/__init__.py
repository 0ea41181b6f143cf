"""Speed, measured on this machine: lanes beside a plain loop, torchjd's and the bare products; what grows; what is aimed at.

main(Form.of(short=False))      every part, as plain data
schemes("medium")               what a step costs under each scheme, relative to equal weights
"""

from mtl_core.bench.parts import NAMES, main
from mtl_core.bench.report import markdown, text
from mtl_core.bench.schemes import schemes
from mtl_core.bench.timing import Form

__all__ = ["NAMES", "Form", "main", "markdown", "schemes", "text"]
