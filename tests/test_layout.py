import ast
import subprocess
import sys
from pathlib import Path

import constructs

import mlplatform_constructs as library

ROOT = Path(__file__).parents[1]


def test_constructs_means_the_published_package_and_our_folder_is_no_package() -> None:
    assert ROOT / "constructs" not in Path(str(constructs.__file__)).parents
    assert not list((ROOT / "constructs").glob("*.py"))


def test_public_names_are_listed_and_sorted() -> None:
    stub = ast.parse((ROOT / "constructs/src/mlplatform_constructs/__init__.pyi").read_text(encoding="utf-8"))
    imported = [alias.name for line in stub.body if isinstance(line, ast.ImportFrom) for alias in line.names]
    listed = next(ast.literal_eval(line.value) for line in stub.body if isinstance(line, ast.Assign))
    assert listed == sorted(imported)
    assert sorted(library.__all__) == listed


def test_a_public_name_loads_only_what_it_needs() -> None:
    """Imports are most of a small synthesis."""
    program = "import sys, mlplatform_constructs as lib; lib.EncryptionKeys; print('aws_cdk.aws_eks_v2' in sys.modules)"
    said = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert said.stdout.strip() == "False"


def test_a_public_name_has_a_module_a_test_and_a_heading_of_its_own() -> None:
    readme = (ROOT / "constructs" / "README.md").read_text(encoding="utf-8")
    for name in library.__all__:
        module = getattr(library, name).__module__.rpartition(".")[2]
        assert (ROOT / "tests" / "library" / f"test{module}.py").exists(), f"{name}: no test{module}.py"
        assert f"## {name}\n" in readme, f"{name}: no heading in constructs/README.md"


def test_no_folder_of_tests_is_a_package() -> None:
    assert not list((ROOT / "tests").rglob("__init__.py"))
