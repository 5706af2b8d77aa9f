"""Open the live page: ``python -m tools.demo``, or with checkpoints of your own ``--baseline a.pth --target b.pth``.

Nothing is fetched from outside and nothing leaves the machine. The page is served to this machine alone unless
``--host`` says otherwise.
"""

import os
import shutil
import signal
import sys
import tempfile
import time
from pathlib import Path
from types import FrameType

import click

OUTSIDE = {
    "GRADIO_ANALYTICS_ENABLED": "False",
    "HF_HUB_OFFLINE": "1",
    "HF_HUB_DISABLE_TELEMETRY": "1",
    "DO_NOT_TRACK": "1",
    "GRADIO_SHARE": "False",
}
"""Gradio and what it builds on are told, before they are imported, to ask nothing of anyone."""
PORTS = range(7860, 7960)
MAX_VISITORS = 50
STYLE, SCRIPT = (Path(__file__).with_name(name) for name in ("page.css", "page.js"))


def serve(pairs: dict, host: str, port: int | None, in_browser: bool, threads: int | None) -> None:
    """Serve the page, in threads of its own.

    Raises:
        InputError: no pair can be opened, or the port is in use.
    """
    from gradio.themes import Base

    from faig.base.compute import ComputeParams, resolve
    from faig.base.errors import InputError
    from tools.demo.app import build
    from tools.demo.handlers import Page
    from tools.demo.restoring import Studio, cache_folder
    from tools.demo.uploads import MAX_BYTES, offered_files

    params = ComputeParams(device="auto", precision="auto", threads=threads, workers=None, launcher=None)
    studio = Studio(pairs, resolve(params), cache_folder())
    handlers = Page(studio, offered_files(Path("data/hr/test")), Path(os.environ["GRADIO_TEMP_DIR"]))
    page = build(handlers, next(iter(pairs)))
    page.queue(max_size=64, default_concurrency_limit=4)
    try:
        _, url, _ = page.launch(
            server_name=host,
            server_port=port,
            inbrowser=in_browser,
            prevent_thread_lock=True,
            quiet=True,
            share=False,
            show_error=False,
            footer_links=[],
            run_history=False,
            max_file_size=MAX_BYTES,
            state_session_capacity=MAX_VISITORS,
            enable_monitoring=False,
            ssr_mode=False,
            pwa=False,
            mcp_server=False,
            theme=Base(font=["system-ui", "sans-serif"], font_mono=["ui-monospace", "monospace"]).set(
                body_text_color_subdued="*neutral_600"  # its own is too pale to be read
            ),
            css_paths=STYLE,
            js=SCRIPT.read_text(encoding="utf-8"),
        )
    except OSError as error:
        where = f"port {port} is" if port is not None else f"all ports from {PORTS[0]} to {PORTS[-1]} are"
        raise InputError(f"{where} in use, or {host} is no address of this machine: see --port and --host") from error
    click.echo(f"The page is open at {url} (Ctrl-C stops it).")


def stop(folder: Path) -> None:
    """End at once, whatever is being computed, and leave no uploaded file behind."""
    shutil.rmtree(folder, ignore_errors=True)
    click.echo("Stopped.")
    sys.stdout.flush()
    os._exit(0)


@click.command()
@click.option("--baseline", type=click.Path(path_type=Path), help="weights that the target was trained from")
@click.option("--target", type=click.Path(path_type=Path), help="weights of the network that removes degradations")
@click.option("--network", default="spandrel", show_default=True, help="or a factory: network.py:make_network")
@click.option("--width", default=64, show_default=True, help="channels, for --network srresnet or srcnn")
@click.option("--depth", default=16, show_default=True, help="blocks or layers, for --network srresnet or srcnn")
@click.option("--scale", type=click.IntRange(1, 4), help="of the network; found out where it is not given")
@click.option("--granularity", type=click.Choice(["kernel", "channel"]), default="kernel", show_default=True)
@click.option(
    "--ability",
    "abilities",
    type=click.Choice(["blur", "noise", "jpeg"]),
    multiple=True,
    default=("blur", "noise"),
    show_default=True,
    help="what there is to be a dial for",
)
@click.option("--preset", help="a preset of presets/ that names two checkpoints")
@click.option("--host", default="127.0.0.1", show_default=True, help="address to listen at; 0.0.0.0: from everywhere")
@click.option("--port", type=click.IntRange(1, 65535), help=f"default: the first that is free from {PORTS[0]} on")
@click.option("--threads", type=click.IntRange(1), help="CPU threads; default: one per core")
@click.option("--open", "in_browser", is_flag=True, help="open the page in the browser")
def main(
    baseline: Path | None,
    target: Path | None,
    network: str,
    width: int,
    depth: int,
    scale: int | None,
    granularity: str,
    abilities: tuple[str, ...],
    preset: str | None,
    host: str,
    port: int | None,
    threads: int | None,
    in_browser: bool,
) -> None:
    """Open the live page on published networks, on the last run's, or on two checkpoints of your own."""
    for key, value in OUTSIDE.items():
        os.environ[key] = value
    for key in ("no_proxy", "NO_PROXY"):  # Gradio asks its own address whether it answers
        os.environ[key] = ",".join(filter(None, [os.environ.get(key), "127.0.0.1", "localhost"]))
    folder = Path(tempfile.mkdtemp(prefix="faig-demo-"))
    os.environ["GRADIO_TEMP_DIR"] = str(folder)

    def ended(number: int, frame: FrameType | None) -> None:
        stop(folder)

    signal.signal(signal.SIGINT, ended)
    signal.signal(signal.SIGTERM, ended)
    from faig.base.errors import InputError

    try:
        from tools.demo.pairs import given_pair, own_run, preset_pair, published_pairs

        if (baseline is None) != (target is None):
            raise InputError("--baseline and --target go together: name both files")
        pairs = {}
        if baseline is not None and target is not None:
            size = (width, depth)
            pairs["yours"] = given_pair(baseline, target, network, size, scale, granularity, abilities)  # pyright: ignore
        if preset is not None:
            pairs["preset"] = preset_pair(preset, Path())
        pairs |= published_pairs(Path("published"))
        try:
            own = own_run(Path())
            pairs |= {} if own is None else {"run": own}
        except (InputError, KeyError, TypeError) as error:
            click.echo(f"This project's last run is left out, since params.yaml does not fit it: {error}", err=True)
        if not pairs:
            raise InputError("there are no published networks in published/: run from the project's folder")
        serve(pairs, host, port, in_browser, threads)
    except (InputError, OSError, ImportError) as error:
        shutil.rmtree(folder, ignore_errors=True)
        raise click.ClickException(str(error)) from error
    while True:
        time.sleep(3600)


if __name__ == "__main__":
    main()
