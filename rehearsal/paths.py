"""Paths and names that the rehearsal and its emulator share."""

from pathlib import Path

ROOT = Path(__file__).parents[1]
CACHE = ROOT / ".cache" / "rehearsal"
"""Files that are reused by later runs, and the folder of the current run."""
NODE_MODULES = ROOT / "node_modules"
CDK = NODE_MODULES / "aws-cdk" / "bin" / "cdk"
