# Two commands do everything: `make repro` and `make test`. Each sets up first, once.
#   PYTHON=path/to/python3.12   the Python to make .venv with (default: the first of python3, python3.13, ... that suits)

PYTHON ?=
STATE := .venv/.setup-state
# The `python` in dvc.yaml's commands comes from PATH.
IN_VENV := PATH="$(CURDIR)/.venv/bin:$$PATH"

.PHONY: help setup repro argument demo test test-fast docs preset plots clean clean-stale
.PRECIOUS: $(STATE)

help:
	@echo "make repro               run the mission's pipeline: what is out of date, nothing else"
	@echo "make repro NAME=waifu2x  the same with a preset of presets/; git restore params.yaml goes back"
	@echo "make argument            run it and the rest of the argument"
	@echo "make demo                a live page: a photograph, a dial for each ability; see docs/demo.md for your own networks"
	@echo "make test                ruff, pyright, lint-imports and pytest: some minutes"
	@echo "make test-fast           the same without the tests marked slow: a minute"
	@echo "make docs                build the documentation as a site: docs/_build/html/index.html"
	@echo "make preset NAME=smoke   write a preset of presets/ into params.yaml; git restore params.yaml goes back"
	@echo "make plots               write dvc_plots/index.html: the figures, on a page that needs no network"
	@echo "make plots REV=HEAD~1    the same beside those of another commit"
	@echo "make setup               make or update .venv (the others do so by themselves)"
	@echo "make clean-stale         remove results of targets and degradations that params.yaml no longer names"
	@echo "make clean               remove .venv, the built site and tool caches; data, results and DVC's cache stay"

setup: $(STATE)

$(STATE): pyproject.toml constraints.txt tools/setup.sh
	@PYTHON="$(PYTHON)" sh tools/setup.sh

# Not complete, or not made here (the folder was moved), or its Python is gone: set up again.
ifneq ($(shell .venv/bin/python -c '' 2>/dev/null && cat $(STATE) 2>/dev/null),$(CURDIR))
.PHONY: $(STATE)
endif

# NAME counts only where it is typed: some systems have a variable of that name in the environment.
repro argument: setup $(if $(filter command line,$(origin NAME)),preset)
	@git rev-parse --is-inside-work-tree >/dev/null || { echo "This folder is not a git repository (a downloaded archive?)," \
		"and DVC needs one. Clone the project, or run here: git init && git add -A && git commit -m start" >&2; exit 1; }
	@$(IN_VENV) dvc repro $(if $(filter argument,$@),-P)
	@echo "The report: $(CURDIR)/report/$(if $(filter argument,$@),argument,index).html"

# make demo BASELINE=a.pth TARGET=b.pth [NETWORK=network.py:make_network] [PRESET=waifu2x] [ARGS="--port 8000 --open"]
typed = $(if $(filter command line,$(origin $(1))),--$(2) "$($(1))")
demo: setup
	@$(IN_VENV) python -m tools.demo $(call typed,BASELINE,baseline) $(call typed,TARGET,target) \
		$(call typed,NETWORK,network) $(call typed,PRESET,preset) $(ARGS)

test test-fast: setup
	$(IN_VENV) ruff check .
	$(IN_VENV) ruff format --check .
	$(IN_VENV) pyright
	$(IN_VENV) lint-imports
	$(IN_VENV) python -m pytest -n 2 --dist loadfile --no-loadscope-reorder $(if $(filter test-fast,$@),-m "not slow")

docs: setup
	$(IN_VENV) sphinx-build -W --keep-going -q -c docs -d docs/_build/doctrees . docs/_build/html
	@echo "Open docs/_build/html/index.html in a browser."

preset: setup
	@$(IN_VENV) python -m tools.preset $(NAME)

plots: setup
	@$(IN_VENV) python -m tools.plots_page
	@$(IN_VENV) dvc plots $(if $(filter command line,$(origin REV)),diff $(REV),show)

clean-stale: setup
	@$(IN_VENV) python -m tools.clean_stale

clean:
	rm -rf .venv .pytest_cache .ruff_cache docs/_build *.egg-info
	find faig stages tools benchmarks examples tests -name __pycache__ -prune -exec rm -rf {} +
