"""`task check` finds no error in any task that ships."""

import shutil
from pathlib import Path

import pytest

from evalharness.config.schema import (
    Config,
    ModelConfig,
    RunConfig,
    SuiteConfig,
    TaskConfig,
)
from evalharness.errors import TaskError
from evalharness.tasks.authoring.check import examine
from evalharness.tasks.authoring.check_docs import check_folder
from evalharness.tasks.authoring.fix_readme import fix_readme
from evalharness.tasks.authoring.prompt_lengths import (
    DEFAULT_LIMIT,
    check_sizes,
    estimated_sizes,
)
from evalharness.tasks.loaded_task import LoadedTask
from evalharness.tasks.suite import (
    load_suite,
    task_manager,
)
from evalharness.tasks.yaml.validate import validate

ROOT = Path(__file__).parents[2]
TASKS = ROOT / "tasks"
FOLDERS = sorted(p.name for p in TASKS.iterdir() if p.is_dir() and p.name[0] not in "_.")
YAMLS = sorted(TASKS.glob("*/*.yaml"))


@pytest.fixture(autouse=True)
def _here(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(ROOT)


def load(name: str) -> LoadedTask:
    if name not in task_manager().task_index:
        pytest.skip("holds no task")
    suite = SuiteConfig(name="one", tasks={name: TaskConfig()})
    config = Config(model=ModelConfig(name="x"), suite=suite)
    config.run.allow_unsafe_code = True
    try:
        return load_suite(config).tasks[0]
    except TaskError as e:
        if "on the Hub" in str(e) or "needs reasoning-gym" in str(e) or "math_verify" in str(e):
            pytest.skip("its data or a package isn't here")
        raise


@pytest.mark.parametrize("path", YAMLS, ids=lambda path: path.stem)
def test_its_definition_is_valid(path: Path) -> None:
    assert validate(path).name


@pytest.mark.parametrize("name", FOLDERS)
def test_it_has_no_error_and_nothing_to_fix(name: str, tmp_path: Path) -> None:
    loaded = load(name)
    found, num_scored = examine(loaded, seconds=0.2)
    found += check_sizes(estimated_sizes(loaded), DEFAULT_LIMIT)
    found += check_folder(loaded, TASKS / name)
    assert [defect for defect in found if defect.level == "error"] == []
    assert num_scored > 0
    shutil.copy(TASKS / name / "README.md", tmp_path)
    assert fix_readme(loaded, tmp_path, RunConfig().seed) == []
