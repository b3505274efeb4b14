import ast
import re
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from graphlib import CycleError, TopologicalSorter
from pathlib import Path
from types import ModuleType

import constructs
import grimp
import pytest

import mlplatform_constructs as library
from mlplatform_constructs import kubeflow, serving

ROOT = Path(__file__).parents[1]
ACTION = re.compile(r"[a-z][a-z0-9-]+:(\*|[A-Z][A-Za-z]+\*?)")
STATEMENTS = {"PolicyStatement", "PolicyDocument", "CfnPolicy", "CfnManagedPolicy"}
STATEMENTS_OUTSIDE_THE_LIBRARY = {
    "stacks/tools/pipeline.py": "a grant can deny nothing of what CDK Pipelines grants to its own roles",
}
"""Files that may write statements of policies, with the reason."""


def test_constructs_means_the_published_package_and_our_folder_is_no_package() -> None:
    assert ROOT / "constructs" not in Path(str(constructs.__file__)).parents
    assert not list((ROOT / "constructs").glob("*.py"))


def test_public_names_are_listed_and_sorted() -> None:
    stub = ast.parse((ROOT / "constructs/src/mlplatform_constructs/__init__.pyi").read_text(encoding="utf-8"))
    imported = [alias.name for line in stub.body if isinstance(line, ast.ImportFrom) for alias in line.names]
    listed = next(ast.literal_eval(line.value) for line in stub.body if isinstance(line, ast.Assign))
    assert listed == sorted(imported)
    assert sorted(library.__all__) == listed


def test_make_install_installs_each_distribution_and_the_import_contracts_know_it() -> None:
    """A package that only a path of one machine finds is missing in a fresh clone."""
    folders = sorted(project.parent.name for project in (ROOT / "distributions").glob("*/pyproject.toml"))
    required = (ROOT / "requirements-dev.txt").read_text(encoding="utf-8").splitlines()
    installed = sorted(line.rpartition("/")[2] for line in required if line.startswith("-e ./distributions/"))
    assert installed == folders
    packages = {package.parent.name for package in (ROOT / "distributions").glob("*/src/*/__init__.py")}
    tools = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["tool"]
    assert packages <= set(tools["importlinter"]["root_packages"])


def test_a_public_name_loads_only_what_it_needs() -> None:
    """Imports are most of a small synthesis."""
    program = "import sys, mlplatform_constructs as lib; lib.EncryptionKeys; print('aws_cdk.aws_eks_v2' in sys.modules)"
    said = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert said.stdout.strip() == "False"


def test_a_public_name_has_a_module_a_test_and_a_heading_of_its_own() -> None:
    readme = (ROOT / "constructs" / "README.md").read_text(encoding="utf-8")
    for name in library.__all__:
        *domains, module = (part.removeprefix("_") for part in getattr(library, name).__module__.split(".")[1:])
        test = ROOT.joinpath("tests", "library", *domains, f"test_{module}.py")
        assert test.exists(), f"{name}: {test.relative_to(ROOT)} is missing"
        assert f"## {name}\n" in readme, f"{name}: no heading in constructs/README.md"


@pytest.mark.parametrize("package", [kubeflow, serving], ids=lambda package: package.__name__)
def test_a_name_of_a_package_has_a_test_of_its_module_and_stands_in_the_readme(package: ModuleType) -> None:
    readme = (ROOT / "constructs" / "README.md").read_text(encoding="utf-8")
    folder = ROOT / "tests" / "library" / package.__name__.rpartition(".")[2]
    for name in package.__all__:
        module = getattr(package, name).__module__.rpartition(".")[2].removeprefix("_")
        if name != "Resources":  # of the applications of teams
            assert (folder / f"test_{module}.py").exists(), name
        assert re.search(rf"\b{name}\b", readme), f"{name}: not in constructs/README.md"


def test_no_folder_of_tests_is_a_package() -> None:
    assert not list((ROOT / "tests").rglob("__init__.py"))


def statements_in(source: str) -> Iterator[str]:
    """What writes a statement of a policy: its classes, raw documents, actions of IAM."""
    for node in ast.walk(ast.parse(source)):
        match node:
            case ast.Attribute(attr=name) | ast.Name(id=name) if name in STATEMENTS:
                yield f"line {node.lineno}: {name}"
            case ast.Constant(value="Effect"):
                yield f"line {node.lineno}: a raw statement"
            case ast.Constant(value=str(text)) if ACTION.fullmatch(text):
                yield f"line {node.lineno}: {text}"


def test_stacks_write_no_policies_and_grant_by_the_verbs_of_constructs() -> None:
    found = {
        path.relative_to(ROOT).as_posix(): list(statements_in(path.read_text(encoding="utf-8")))
        for folder in ("stacks", "examples")
        for path in sorted((ROOT / folder).rglob("*.py"))
    }
    assert {name: lines for name, lines in found.items() if lines and name not in STATEMENTS_OUTSIDE_THE_LIBRARY} == {}
    assert not [name for name in STATEMENTS_OUTSIDE_THE_LIBRARY if not found[name]], "an exception that nothing needs"


@pytest.mark.parametrize(
    "source",
    [
        "iam.PolicyStatement(actions=actions, resources=[arn])",
        "statement = {'Effect': 'Allow'}",
        "key.grant(role, 'kms:Decrypt')",
        "role.attach_inline_policy(iam.CfnPolicy(scope, 'Id'))",
    ],
)
def test_a_statement_of_a_policy_is_recognized(source: str) -> None:
    assert list(statements_in(source))


def test_every_refusal_has_a_class_that_is_shown_as_one_line() -> None:
    """A plain ValueError would end in a traceback. Handlers run in AWS, where the text is all that is reported."""
    plain = [
        f"{path.relative_to(ROOT)}:{node.lineno}"
        for folder in ("charts", "config", "constructs/src", "stacks")
        for path in sorted((ROOT / folder).rglob("*.py"))
        if not any(part.endswith("_handler") for part in path.parts)
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(node, ast.Raise) and ast.unparse(node.exc or node).startswith("ValueError")
    ]
    assert plain == []


def test_no_modules_import_each_other_in_a_circle() -> None:
    """Not for types either: what two modules share has a place of its own."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    graph = grimp.build_graph(*project["tool"]["importlinter"]["root_packages"], cache_dir=None)
    imports = {module: graph.find_modules_directly_imported_by(module) for module in graph.modules}
    try:
        TopologicalSorter(imports).prepare()
    except CycleError as error:
        pytest.fail(" -> ".join(error.args[1]))


def test_no_module_keeps_values_by_construct_for_the_whole_process() -> None:
    """Two apps in one process would share them, and the constructs would never be freed."""
    kept = [
        f"{path.relative_to(ROOT)}: {name}"
        for folder in ("charts", "constructs/src", "stacks")
        for path in sorted((ROOT / folder).rglob("*.py"))
        if not any(part.endswith("_handler") for part in path.parts)
        for name in registries_in(path.read_text(encoding="utf-8"))
    ]
    assert kept == []


def registries_in(source: str) -> Iterator[str]:
    """Collections of a module that its functions add to."""
    for node in ast.parse(source).body:
        match node:
            case ast.Assign(targets=[ast.Name(id=name)]) | ast.AnnAssign(target=ast.Name(id=name)):
                if re.search(rf"\b{name}(\[.+\] = |\.(add|append|extend|setdefault|update)\()", source):
                    yield name


@pytest.mark.parametrize(
    "use", ["    _kept[scope] = role", "    _kept.setdefault(scope, []).append(role)", "    _kept.add(scope)"]
)
def test_a_registry_is_recognized(use: str) -> None:
    assert list(registries_in(f"_kept = make()\ndef keep(scope, role):\n{use}\n")) == ["_kept"]
