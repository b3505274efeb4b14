"""What both the rehearsal and its emulator know: places and names."""

from pathlib import Path

ROOT = Path(__file__).parents[1]
CACHE = ROOT / ".cache" / "rehearsal"
"""What is worth keeping between runs, and the folder of the run that is under way."""
NODE_MODULES = ROOT / "node_modules"
CDK = NODE_MODULES / "aws-cdk" / "bin" / "cdk"

BOOTSTRAP_STACK = "CDKToolkit"
"""Name of the stack that the CDK CLI bootstraps a region with."""
LOOPBACK = "127.0.0.1"
EMULATED_ACCOUNT = "000000000000"
"""Account of everything in the emulator. The CDK CLI refuses to deploy it with the credentials of a real account."""
