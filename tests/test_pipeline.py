"""The architecture as tests: what depends on what, in both dvc.yaml and among modules; and params.yaml as a whole."""

import ast
import copy
import importlib
import re
import shlex
import subprocess
import sys
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any

import click
import pytest
from conftest import project_files

from faig.base.params import ParamsError, read_params, validate
from faig.pipeline import PipelineParams

ROOT = Path(__file__).parents[1]
COMMITTED = read_params(ROOT / "params.yaml")
MISSION, ARGUMENT = (read_params(ROOT / folder / "dvc.yaml")["stages"] for folder in ("", "argument"))
DVC = MISSION | ARGUMENT
REPORTING = {"summarize": "metrics/mission.parquet", "claims": "metrics/argument.parquet"}
"""Stages that run no network, and their tables of numbers, which are in git."""
STAGES: dict[str, dict[str, Any]] = {name: body.get("do", body) for name, body in DVC.items()}
MODULES = sorted(path for package in ("faig", "stages", "tools") for path in (ROOT / package).rglob("*.py"))


@cache
def tree(path: Path) -> ast.Module:
    return ast.parse(path.read_text(encoding="utf-8"))


def imported_names(path: Path) -> Iterator[str]:
    """Dotted names of all that a module imports; ``from a import b`` gives ``a`` and ``a.b``."""
    for node in ast.walk(tree(path)):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.module, f"{path}: relative imports hide what depends on what"
            yield node.module
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def own_imports(path: Path) -> set[Path]:
    """The project's modules that a module imports itself."""
    files = {ROOT / f"{name.replace('.', '/')}.py" for name in imported_names(path)}
    return {file for file in files if file.relative_to(ROOT).parts[0] in ("faig", "stages") and file.is_file()}


def script_of(stage: str) -> Path:
    [name] = re.findall(r"^python -m stages\.(\w+) ", STAGES[stage]["cmd"])
    return ROOT / "stages" / f"{name}.py"


def paths_of(stage: str, *sections: str) -> list[str]:
    """Paths under ``deps``, ``outs``, ``metrics`` or ``plots`` of a stage."""
    entries = [entry for section in sections for entry in STAGES[stage].get(section, [])]
    return [entry if isinstance(entry, str) else next(iter(entry)) for entry in entries]


def params_of(stage: str) -> list[str]:
    """Keys of params.yaml that a stage depends on."""
    return STAGES[stage].get("params", [])


def options_of(stage: str) -> list[tuple[str, str]]:
    """Options and their values in a stage's command."""
    words = shlex.split(STAGES[stage]["cmd"])[3:]
    return list(zip(words[::2], words[1::2], strict=True))


def calls_of(nodes: ast.AST, name: str) -> Iterator[ast.Call]:
    for node in ast.walk(nodes):
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == name:
            yield node


def keys_read(stage: str) -> set[str]:
    """Keys of params.yaml that a stage's script loads, itself or by the helpers that it calls; * for a variable."""
    nodes = [node for module in (ROOT / "stages/shared").glob("*.py") for node in tree(module).body]
    helpers = {node.name: node for node in nodes if isinstance(node, ast.FunctionDef)}
    keys, parts = set(), [tree(script_of(stage))]
    for part in parts:  # which grows
        called = {node.id for node in ast.walk(part) if isinstance(node, ast.Name)}
        parts += [helpers[name] for name in sorted(called & helpers.keys()) if helpers[name] not in parts]
        for call in calls_of(part, "load_params"):
            keys.add(re.sub(r"\{.*?\}", "*", ast.unparse(call.args[0]).removeprefix("f").strip("'\"")))
    return keys


# dvc.yaml


@pytest.mark.parametrize("stage", sorted(set(STAGES) - {"list_imports"}))  # which writes the lists
def test_a_stage_depends_on_the_list_of_what_its_script_imports(stage: str):
    """And so on the list of no other script, and on no module directly."""
    listed = [path for path in paths_of(stage, "deps") if path.endswith(".py") or path.startswith("data/imports")]
    assert listed == [f"data/imports/{script_of(stage).stem}.txt"]


def test_every_script_is_a_stage_of_its_name():
    """The argument's page is the mission's with more on it."""
    scripts = {path.stem for path in (ROOT / "stages").glob("*.py")} - {"__init__"}
    assert scripts == set(STAGES) - {"report_argument"}
    assert {stage: script_of(stage).stem for stage in STAGES if script_of(stage).stem != stage} == {
        "report_argument": "report"
    }


def test_the_argument_s_page_is_the_mission_s_with_more_on_it():
    mission, argument = dict(options_of("report")), dict(options_of("report_argument"))
    assert argument.keys() - mission.keys() == {"--argument", "--measured"}
    assert {key: value for key, value in argument.items() if key in mission and key != "--output"} == {
        key: value for key, value in mission.items() if key != "--output"
    }
    assert params_of("report") == params_of("report_argument")


@pytest.mark.parametrize("stage", ["report", "report_argument"])
def test_a_page_depends_on_all_that_it_reads(stage: str):
    deps = set(paths_of(stage, "deps"))
    inputs = {value for name, value in options_of(stage) if name != "--output"}
    assert all(path in deps or any(dep.startswith(f"{path}/") for dep in deps) for path in inputs)
    assert "faig/page/templates" in deps


def test_the_mission_needs_nothing_of_the_argument_and_both_run_in_the_project_s_folder():
    assert not MISSION.keys() & ARGUMENT.keys()
    made = {path for stage in ARGUMENT for path in paths_of(stage, "outs", "metrics", "plots")}
    assert not made & {path for stage in MISSION for path in paths_of(stage, "deps")}
    assert {body.get("wdir") for body in ARGUMENT.values()} == {".."}
    assert not any("wdir" in STAGES[stage] for stage in MISSION)


@pytest.mark.parametrize("stage", STAGES)
def test_no_output_but_a_report_s_tables_is_kept_from_the_cache(stage: str):
    """``cache: false`` and ``persist`` under ``outs`` turn the run-cache off; under metrics and plots they do not."""
    for entry in STAGES[stage].get("outs", []):
        if isinstance(entry, dict):
            [(path, options)] = entry.items()
            assert path == REPORTING[stage] or re.fullmatch(r"plots/.*\.csv", path), path
            assert options == {"cache": False}


@pytest.mark.parametrize("stage", STAGES)
def test_a_stage_s_params_are_in_params_yaml(stage: str):
    for key in params_of(stage):
        section: Any = COMMITTED
        for part in re.sub(r"\.\$\{.*\}$", "", key).split("."):
            assert part in section, key
            section = section[part]


@pytest.mark.parametrize("stage", STAGES)
def test_how_to_compute_re_runs_nothing(stage: str):
    assert not [key for key in params_of(stage) if key.split(".")[0] == "compute"]


@pytest.mark.parametrize("stage", STAGES)
def test_a_stage_lists_the_params_that_it_reads(stage: str):
    listed = {re.sub(r"\$\{.*?\}", "*", key) for key in params_of(stage)}
    read = {key for key in keys_read(stage) if key.split(".")[0] != "compute"}
    assert {key for key in read if not any(key == known or key.startswith(f"{known}.") for known in listed)} == set()
    if stage != "check":  # which reads all of the file
        assert listed - read <= {"degradations"}  # listed for what a folder of all degradations holds


def test_the_whole_of_params_yaml_is_checked_before_any_work():
    assert "params.yaml" in paths_of("check", "deps")
    [mark] = paths_of("check", "outs")
    for stage in ("photographs", "prepare"):
        assert mark in paths_of(stage, "deps")


def test_no_stage_runs_every_time():
    assert [name for name, body in STAGES.items() if body.get("always_changed")] == []


def test_code_and_photographs_and_published_weights_are_dependencies():
    assert paths_of("list_imports", "deps") == ["faig", "stages"]
    assert {"${dataset.train}", "${dataset.test}"} <= set(paths_of("prepare", "deps"))
    assert "${dataset.lr}" in paths_of("synthesize", "deps")
    assert COMMITTED["dataset"]["train"].startswith(f"{paths_of('photographs', 'outs')[0]}/")
    for stage in ("check", "train_baseline", "finetune"):
        assert "${network.pretrained}" in paths_of(stage, "deps")


def test_the_folder_data_says_what_will_be_in_it():
    listed = set(re.findall(r"`([\w./]+)`", (ROOT / "data/README.md").read_text(encoding="utf-8")))
    for stage in STAGES:
        for path in (path for path in paths_of(stage, "outs") if path.startswith("data/")):
            name = Path(re.sub(r"\$\{key\}", "DEGRADATION" if "/lr/" in path else "TARGET", path)).relative_to("data")
            assert any(entry == str(name) or entry.startswith(f"{name}/") for entry in listed), path


@pytest.mark.parametrize("stage", STAGES)
def test_a_command_has_the_options_of_its_script(stage: str):
    command = importlib.import_module(f"stages.{script_of(stage).stem}").main
    assert isinstance(command, click.Command)
    given = {name for name, _ in options_of(stage)}
    assert given <= {option for parameter in command.params for option in parameter.opts}
    assert given >= {option for parameter in command.params if parameter.required for option in parameter.opts}


def test_only_a_page_may_do_without_some_of_its_inputs():
    commands = {stage: importlib.import_module(f"stages.{script_of(stage).stem}").main for stage in STAGES}
    optional = {stage for stage, command in commands.items() if not all(each.required for each in command.params)}
    assert optional == {"report", "report_argument"}
    assert {name for name, _ in options_of("report_argument")} == {
        option for parameter in commands["report"].params for option in parameter.opts
    }


@pytest.mark.parametrize("stage", STAGES)
def test_every_output_is_named_in_the_command(stage: str):
    """Or lies, if it is a figure or a figure's table, in a folder that is."""
    named = {value for _, value in options_of(stage)}
    paths = paths_of(stage, "outs", "metrics", "plots")
    assert all({path, *map(str, Path(path).parents)} & named for path in paths if path.startswith("plots/"))
    assert {path for path in paths if not path.startswith("plots/")} <= named


def test_claims_depend_on_all_that_the_argument_measures_and_read_it():
    outs = [path for stage in ARGUMENT for path in paths_of(stage, "outs")]
    measured = [path for path in outs if re.fullmatch(r"data/argument/\w+\.parquet", path)]  # plugins/ holds weights
    assert sorted(measured) == sorted(path for path in paths_of("claims", "deps") if path.startswith("data/argument/"))
    calls = [call for module in own_imports(script_of("claims")) for call in calls_of(tree(module), "read")]
    assert {f"data/argument/{ast.literal_eval(call.args[0])}.parquet" for call in calls} == set(measured)


def test_no_two_stages_write_one_path():
    paths = [path for stage in STAGES for path in paths_of(stage, "outs", "metrics", "plots")]
    assert len(paths) == len(set(paths))


# Modules


@pytest.mark.parametrize("path", sorted((ROOT / "faig").rglob("*.py")), ids=lambda path: path.stem)
def test_faig_knows_neither_stages_nor_the_command_line_nor_params_yaml(path: Path):
    assert not {name.split(".")[0] for name in imported_names(path)} & {"stages", "click", "dvc", "argparse"}
    if path.stem != "params":
        used = {node.id for node in ast.walk(tree(path)) if isinstance(node, ast.Name)}
        assert not used & {"read_params", "load_params", "open"}


@pytest.mark.parametrize("path", sorted((ROOT / "stages").rglob("*.py")), ids=lambda path: path.stem)
def test_a_stage_imports_no_other_stage(path: Path):
    others = {other for other in own_imports(path) if other.relative_to(ROOT).parts[0] == "stages"}
    assert {other.parent.name for other in others} <= {"shared"}


def test_importing_a_package_changes_no_result():
    """So its __init__ may be in no script's list of imports: faig's does nothing, stages' says how threads wait."""
    assert len(tree(ROOT / "faig/__init__.py").body) == 1
    statements = [ast.unparse(node) for node in tree(ROOT / "stages/__init__.py").body[1:]]
    assert statements == ["import os", "os.environ.setdefault('GOMP_SPINCOUNT', '2000')"]


def test_sizes_stay_readable():
    lengths = {path: len(path.read_text(encoding="utf-8").splitlines()) for path in MODULES}
    assert [str(path) for path, length in lengths.items() if length > 400] == []
    scripts = [script_of(stage) for stage in STAGES]
    assert [str(path) for path in scripts if lengths[path] > 70] == []


def test_preparing_images_needs_no_torch():
    """Torch takes seconds to import, and these stages run once per degradation and target."""
    code = "import sys, stages.prepare, stages.synthesize, stages.pair; sys.exit('torch' in sys.modules)"
    subprocess.run([sys.executable, "-c", code], cwd=ROOT, check=True)


def test_reporting_needs_no_torch():
    """And no network, no scores: numbers are made of tables alone."""
    code = f"import sys, {', '.join(f'stages.{stage}' for stage in [*REPORTING, 'report'])}\n"
    code += "sys.exit('torch' in sys.modules or any(name.startswith('faig.networks') for name in sys.modules))"
    subprocess.run([sys.executable, "-c", code], cwd=ROOT, check=True)


def test_no_file_names_a_path_of_one_machine():
    """But for the usual shebang and device paths."""
    roots = "|".join(["home", "Users", "work", "root", "mnt", "scratch"])
    pattern = re.compile(rf"(?<![\w.$}}/:-])/(?:{roots})/\w|[A-Z]:\\\\\w".encode())
    parts = [b":\\\\", *(f"/{root}/".encode() for root in roots.split("|"))]  # found faster, in files of many megabytes
    for path in project_files():
        content = path.read_bytes()
        assert not (any(part in content for part in parts) and pattern.search(content)), path


# params.yaml as a whole


def error_of(**changes: Any) -> str:
    """What is said of the committed params with some values, at dotted keys written with __, replaced."""
    params = copy.deepcopy(COMMITTED)
    for key, value in changes.items():
        *parents, last = key.split("__")
        section = params
        for part in parents:
            section = section[part]
        if value is None:
            del section[last]
        else:
            section[last] = value
    with pytest.raises(ParamsError) as caught:
        validate("", params, PipelineParams, source="params.yaml")
    return str(caught.value)


@pytest.mark.parametrize("key", ["train_baseline__patch_size", "finetune__patch_size"])
def test_sizes_are_multiples_of_the_scale(key: str):
    message = error_of(scale=3, **{"score__images__size": 96, "predict__calibration__size": 96, key: 64})
    assert re.match(r"params.yaml: \w+.patch_size = 64 must be a multiple of scale = 3", message)


@pytest.mark.parametrize("section", ["score__images", "predict__calibration", "dataset__test_tiles"])
def test_crops_and_tiles_are_multiples_of_the_scale(section: str):
    message = error_of(**{f"{section}__size": 127})
    assert message == f"params.yaml: {section.replace('__', '.')}.size = 127 must be a multiple of scale = 2"


def test_every_photograph_is_as_large_as_the_crops_taken_of_it():
    message = error_of(score__images__size=256)
    assert message == "params.yaml: score.images.size = 256 must be at most dataset.min_size = 128"
    assert "predict.calibration.size = 130 must be at most" in error_of(predict__calibration__size=130)
    leaves = error_of(score__dead_leaves__size=512)
    assert "score.dead_leaves.size = 512 must be at most dataset.dead_leaves.size = 256" in leaves
    assert "predict.calibration.size = 2 must be at least 8 times scale = 2" in error_of(predict__calibration__size=2)


@pytest.mark.parametrize(
    ("key", "value", "message"),
    [
        ("predict__classes", ["clean", "blur", "noise", "blur"], "predict.classes: blur is listed twice"),
        ("sweep__methods", ["faig", "faig"], "sweep.methods: faig is listed twice"),
        ("sweep__ratios", [0.01, 0.01], "sweep.ratios: 0.01 is listed twice"),
        ("predict__calibration__num", 1, "predict: calibration.num = 1 must be at least 2"),
        ("score__num_random", 130, "score.num_random = 130"),
        ("network__width", 10**6, "network.width = 1000000"),
        ("finetune__learning_rate", 100.0, "finetune.learning_rate = 100.0"),
        ("score__contrast", "ratio", "score.contrast = 'ratio'"),
        ("mask_ratio", 0.0, "mask_ratio = 0.0"),
        ("min_gain", -0.5, "min_gain = -0.5"),
        ("bootstrap", {"num_resamples": 0, "confidence": 0.9}, "bootstrap.num_resamples = 0"),
        ("bootstrap", {"num_resamples": 9, "confidence": 1.0}, "bootstrap.confidence = 1.0"),
        ("predict__target", "blind", "predict.target is not a known key"),
        ("retrain__ratio", 0.1, "retrain.ratio is not a known key"),
        ("combine__strengths", [0.5, 1.5], "combine: strengths = [0.5, 1.5] must hold 1"),
        ("plug_in__training__patch_size", 129, "plug_in.training.patch_size = 129 must be a multiple of scale = 2"),
        ("score__quadrature", {"rule": "auto", "num_nodes": 12, "max_nodes": 8, "tolerance": 0.1}, "max_nodes = 8"),
    ],
)
def test_what_would_fail_after_hours_is_refused_at_once(key: str, value: Any, message: str):
    assert message in error_of(**{key: value})


def test_the_downsampling_kernel_is_known():
    assert error_of(downsampling="nearest").startswith("params.yaml: downsampling = 'nearest' is not one of bicubic")


def test_a_target_s_degradations_are_defined():
    message = error_of(targets__blind__mixture={"clean": 1, "rain": 1})
    assert message.startswith("params.yaml: targets.blind names the unknown degradation rain; known are clean, blur")
    assert "targets.only_noise names the unknown degradation snow" in error_of(targets__only_noise__attribute=["snow"])


def test_removing_a_degradation_that_is_in_use_says_where():
    assert "targets.blind names the unknown degradation noise" in error_of(degradations__noise=None)
    assert "predict.classes names the unknown degradation blur_noise" in error_of(
        degradations__blur_noise=None, targets__blind__mixture={"clean": 1, "blur": 1, "noise": 1}
    )


def test_clean_is_always_defined():
    assert "degradations.clean must be [downsample] alone" in error_of(degradations__clean=None)
    noisy = ["downsample", {"gaussian_noise": {"sigma": 0.1}}]
    assert "degradations.clean must be [downsample] alone" in error_of(degradations__clean=noisy)


def test_a_target_attributes_something_and_never_clean():
    assert "targets.only_blur.attribute" in error_of(targets__only_blur__attribute=[])
    assert "attribute = ['clean']" in error_of(targets__only_blur__attribute=["clean"])
    assert "attribute = ['blur', 'blur']" in error_of(targets__only_blur__attribute=["blur", "blur"])


def test_a_mixture_has_positive_weights():
    assert "targets.blind.mixture.blur = 0" in error_of(targets__blind__mixture={"clean": 1, "blur": 0})
    assert "targets.blind.mixture" in error_of(targets__blind__mixture={})


def test_no_target_takes_the_baseline_s_name():
    target = {"mixture": {"blur": 1}, "attribute": ["blur"], "effort": 1.0}
    assert "targets.baseline: " in error_of(targets={**COMMITTED["targets"], "baseline": target})


def test_there_is_a_target():
    assert "targets = {}" in error_of(targets={})


def test_the_main_target_is_a_target():
    assert "main_target = 'sharp' is not one of blind, only_blur, only_noise" in error_of(main_target="sharp")
    for key in ("main_target", "mask_ratio", "bootstrap", "min_gain"):
        assert f"{key} is missing" in error_of(**{key: None})


def test_the_predictor_s_classes_hold_what_its_target_tells_apart():
    assert "predict.classes lacks blur" in error_of(predict__classes=["clean", "noise"])
    assert "predict.classes lacks clean" in error_of(predict__classes=["blur", "noise"])


def test_two_dials_meet_on_inputs_that_the_target_is_trained_on():
    assert "modulate.mixed = 'rain' is not in targets.blind.mixture" in error_of(modulate__mixed="rain")


def test_no_degradation_takes_the_joint_plug_in_s_name():
    renamed = {**COMMITTED["degradations"], "joint": COMMITTED["degradations"]["blur"]}
    assert "degradations.joint: the joint plug-in's file has this name" in error_of(
        degradations=renamed,
        targets__blind__attribute=["joint", "noise"],
        predict__classes=["clean", "joint", "blur", "noise"],
    )


def test_swept_methods_are_known():
    assert "sweep.methods names the unknown method lime" in error_of(sweep__methods=["faig", "lime"])


def test_a_degradation_downsamples_exactly_once():
    for operations in ([], ["downsample", "downsample"], [{"jpeg": {"quality": 20}}]):
        message = error_of(degradations__blur=operations)
        assert message == "params.yaml: degradations.blur must name downsample exactly once"


UNSCALED = {
    name: [operation for operation in operations if operation != "downsample"]
    for name, operations in COMMITTED["degradations"].items()
}


def test_at_scale_1_nothing_downsamples_and_clean_is_empty():
    validate("", COMMITTED | {"scale": 1, "degradations": UNSCALED}, PipelineParams, source="params.yaml")
    assert error_of(scale=1) == (
        "params.yaml: degradations.clean must not name downsample: at scale 1, LR is as large as HR"
    )
    noisy = {**UNSCALED, "clean": UNSCALED["noise"]}
    assert "degradations.clean must be [] alone at scale = 1" in error_of(scale=1, degradations=noisy)
    assert "degradations.clean must be [downsample] alone at scale = 2" in error_of(
        degradations__clean=COMMITTED["degradations"]["noise"]
    )


def test_given_degradations_are_files_for_whole_photographs():
    given = {"degradations__camera": "given", "dataset__dead_leaves__num_images": 0}
    params = copy.deepcopy(COMMITTED)
    params["degradations"]["camera"], params["dataset"]["dead_leaves"]["num_images"] = "given", 0
    validate("", params, PipelineParams, source="params.yaml")
    assert "degradations.camera is given, and no LR images are given of dead leaves" in error_of(
        degradations__camera="given"
    )
    levels = {**COMMITTED["severity"]["levels"], "camera": COMMITTED["severity"]["levels"]["blur"]}
    assert "severity.levels names camera, which is given" in error_of(severity__levels=levels, **given)
    assert "degradations.clean must be [downsample] alone" in error_of(**given, degradations__clean="given")


def test_the_levels_of_severity_must_be_those_of_a_degradation():
    blur = {"operation": "gaussian_blur", "key": "sigma", "values": [1, 2, 3, 4, 5, 6]}
    assert "degradations.noise has no operation gaussian_blur" in error_of(severity__levels={"noise": blur})
    assert "severity.levels names no degradation that targets.blind attributes" in error_of(
        severity__levels={"rain": blur}
    )
    wrong = error_of(severity__levels={"blur": {**blur, "values": [-1, 2, 3, 4, 5, 6]}})
    assert "sigma = -1" in wrong
