# On a fresh clone `make demo` and `make test` each do everything, the installation of .venv included.

SHELL := bash
.SHELLFLAGS := -euo pipefail -c
export PATH := $(CURDIR)/.venv/bin:$(PATH)

# Which cores the demonstration may use (a number, or all)
CORES ?= all
# The interpreter that makes .venv (default: python3.11, else python3)
PYTHON ?=
export PYTHON
# The model of `make chat` and `make serve`: a run and, where it is not the last one, its stage; or any folder in MODEL.
# What a model is told first is in SYSTEM; more options (--temperature 0.2 --seed 1) in OPTIONS.
# Where `make serve` listens: HOST and PORT; elsewhere than on this machine only with a token in ABOVO_TOKEN, or OPEN=yes.
export RUN STAGE MODEL SYSTEM OPTIONS HOST PORT OPEN
ASKED := $${RUN:+--run "$$RUN"} $${STAGE:+--stage "$$STAGE"} $${MODEL:+--model "$$MODEL"}

.PHONY: help setup demo new test test-all check slurm-check model chat serve export push lock
help: ## This list
	@sed -nE 's/^([a-z-]+):.*## (.*)/  make \1\t\2/p' Makefile | expand -t 20

setup: ## The environment .venv from envs/requirements.lock; nothing when it is there already
	@bash envs/setup.sh

demo: setup ## The whole chain on the text that comes with the packages: results/sft/nano/results.json and a report
	@python workflow/tools/demo.py --cores $(CORES)

new: setup ## The files of a run of your own: make new RUN=mine [FROM=nano] [TEXT=folder] [CHATS=file]
	@python workflow/tools/new.py --run "$${RUN:?says what the run is called}" --from "$${FROM:-nano}" \
	  $${TEXT:+--text "$$TEXT"} $${CHATS:+--chats "$$CHATS"}

model: setup ## Fetch the base model that a run names on the hub: RUN=quebec, with a token in HF_TOKEN where it is gated
	@python workflow/tools/model.py --run "$${RUN:?names the run}"

chat: setup ## Talk with a model: RUN=nano STAGE=sft, or MODEL=FOLDER in the Hugging Face layout
	@python workflow/tools/chat.py $(ASKED) $${SYSTEM:+--system "$$SYSTEM"} $$OPTIONS

serve: setup ## The same model as a server: OpenAI's protocol and a chat page at http://127.0.0.1:8000/ (HOST, PORT)
	@python workflow/tools/serve.py $(ASKED) $${HOST:+--host "$$HOST"} $${PORT:+--port "$$PORT"} $${OPEN:+--open} $$OPTIONS

export: setup ## Make results/export/RUN for use elsewhere (transformers, llama.cpp, ollama, the hub): RUN=nano
	@snakemake --cores $(CORES) "results/export/$${RUN:-nano}/manifest.json"

push: setup ## The export to the hub: RUN=nano, with export.repository in its file and a token in HF_TOKEN
	@snakemake --cores $(CORES) "results/export/$${RUN:-nano}/pushed.json"

test: setup check ## Lint, formats, types and every test that takes seconds
	@bash tests/run_all.sh -m "not slow"

test-all: setup check ## The same with the slow tests; what CI runs
	@bash tests/run_all.sh --durations=25

check: setup ## Lint, formats and types alone
	ruff check
	ruff format --check
	snakefmt --check Snakefile rules
	snakemake --lint
	mypy

slurm-check: setup ## Whether this SLURM cluster will do: partitions, accounts, and what its nodes see of this folder
	@python workflow/tools/slurm_check.py

lock: ## Renew envs/requirements.lock from envs/requirements.in
	bash envs/lock.sh
