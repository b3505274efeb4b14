"""A jar for Spark that a ``JarPipeline`` builds with the commands below: which columns of a wide table matter.

It stands in for VariantSpark, which grows forests over genomes with millions of columns.
"""

from mlplatform_constructs import JarBuild

BUILD = JarBuild(test=("make test",), package=("make package",), jar="build/*.jar", sbom="build/sbom.json")
"""Of this folder: ``JarPipeline(..., build=BUILD)``. Needs Python, from which Spark comes."""
MAIN_CLASS = "mlplatform.examples.ImportantColumns"
