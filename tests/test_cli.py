"""Laws of what all stages share at the command line: options that take paths, and whose mistake an error is."""

from pathlib import Path

import click
import pytest
from click.testing import CliRunner

from faig.base.errors import InputError
from stages.shared.cli import INPUTS, reads, stage, writes


def failing(error: Exception) -> click.Command:
    @stage
    def main() -> None:
        """Raise."""
        raise error

    return main


@pytest.mark.parametrize("error", [InputError("seed = -1 is below 0"), FileNotFoundError("no such file: a.png")])
def test_the_user_s_mistakes_end_a_stage_with_one_line(error: Exception):
    result = CliRunner().invoke(failing(error))
    assert (result.exit_code, result.output) == (1, f"Error: {error}\n")


@pytest.mark.parametrize("error", [KeyError("oops"), ValueError("operands could not be broadcast"), TypeError("oops")])
def test_our_mistakes_keep_their_traceback(error: Exception):
    assert CliRunner().invoke(failing(error)).exception is error


def test_what_is_read_and_written_are_required_options_that_give_paths():
    given: dict[str, Path] = {}

    @stage
    @reads("hr", "scores")
    @writes(crop_scores="scores of each crop, Parquet")
    def main(**paths: Path) -> None:
        """Take paths."""
        given.update(paths)

    assert [(option.opts, option.required) for option in main.params] == [
        (["--hr"], True),
        (["--scores"], True),
        (["--crop-scores"], True),
    ]
    described = CliRunner().invoke(main, ["--help"], terminal_width=200).output
    assert all(text in described for text in (INPUTS["hr"], INPUTS["scores"], "scores of each crop, Parquet"))
    assert CliRunner().invoke(main, ["--hr", "a", "--scores", "b", "--crop-scores", "c"]).exit_code == 0
    assert given == {"hr": Path("a"), "scores": Path("b"), "crop_scores": Path("c")}


def test_an_input_that_no_stage_reads_is_refused():
    with pytest.raises(KeyError):
        reads("unheard")
