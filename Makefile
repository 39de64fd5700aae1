# make demo   set up .venv, export the reference model, prove it, judge phantoms, write a report
# make test   the tests
# make lint   ruff and mypy
# make zoo    train and export the shipped bundles again (needs the data, see docs)
# make peers  the other engines and what makes their files, so that no test is skipped for them
# make bench  the benchmarks side by side
# make promises  the device link's: bad cables, clocks, hostile inputs, as tables
# make fuzz   coverage-guided fuzzing, SECONDS for each reader

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
DATA ?= ../shared/data
KEY := export/keys/development.key
# Without the TFLite ones: their converter weighs gigabytes, and `make peers` brings it.
DEMO_VARIANTS ?= onnx-fp32,onnx-int8,tensorrt-fp16,tensorrt-int8

.PHONY: demo test lint peers zoo train bench promises fuzz clean

$(VENV)/.ready: pyproject.toml constraints.txt
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { echo \
	  "the workstation needs Python 3.11 or newer: make PYTHON=python3.12 (the device runs on 3.10)" >&2; \
	  exit 1; }
	$(PYTHON) -m venv $(VENV)
	$(BIN)/pip install --quiet -c constraints.txt -e '.[dicom,export,ecg,bridge,dev]'
	touch $@

demo: $(VENV)/.ready
	$(BIN)/edge-dx-export export/zoo/chest_tb/recipe.toml -o build/chest-tb.edx --key $(KEY) \
		--variants $(DEMO_VARIANTS) --report build/export
	$(BIN)/edge-dx demo --bundle build/chest-tb.edx --out build/demo $(if $(FILMS),--films $(FILMS))

test: $(VENV)/.ready
	$(BIN)/python -m pytest -n 2

peers: $(VENV)/.peers

# TensorRT for RTX without its dependencies: they are CUDA's runtime, which needs a GPU. BrainFlow
# finds its library through pkg_resources, which the setuptools of constraints.txt still has.
$(VENV)/.peers: $(VENV)/.ready
	$(BIN)/pip install --quiet -c constraints.txt -e '.[tflite,openvino,tflite-export,gdcm,oracles]'
	$(BIN)/pip install --quiet -c constraints.txt --no-deps \
		tensorrt-rtx-cu12-libs tensorrt-rtx-cu12-bindings brainflow setuptools
	touch $@

lint: $(VENV)/.ready
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

zoo: train
	$(BIN)/edge-dx-export export/zoo/chest_tb/recipe.toml -o edge_dx/zoo/chest-tb.edx \
		--key $(KEY) --data $(DATA) --write-evidence --report build/export
	for bundle in beats af; do \
		$(BIN)/edge-dx-export export/zoo/ecg_$$bundle/recipe.toml -o edge_dx/zoo/ecg-$$bundle.edx \
			--key $(KEY) --data $(DATA) --write-evidence || exit 1; done

train: $(VENV)/.ready
	$(BIN)/python -m export.training.chest_tb --data $(DATA) --out export/zoo/chest_tb
	for fold in 0 1 2 3; do \
		$(BIN)/python -m export.training.ecg.detector --data $(DATA) --fold $$fold \
			--out export/zoo/ecg/folds || exit 1; done
	$(BIN)/python -m export.training.ecg.beats --data $(DATA) --folds --keep export/zoo/ecg/folds
	$(BIN)/python -m export.training.ecg.detector --data $(DATA) --out export/zoo/ecg
	$(BIN)/python -m export.training.ecg.beats --data $(DATA) --out export/zoo/ecg
	$(BIN)/python -m export.training.ecg.rhythm --data $(DATA) --out export/zoo/ecg

bench: $(VENV)/.ready
	$(BIN)/python benchmarks/runtime.py
	$(BIN)/python benchmarks/variants.py
	$(BIN)/python benchmarks/sources.py
	$(BIN)/python benchmarks/isolate.py
	$(BIN)/python benchmarks/signal_path.py
	$(BIN)/python benchmarks/streams.py edge_dx/zoo/ecg-beats.edx --records $(DATA)/ecg_mitbih/records
	$(BIN)/python benchmarks/ecg_detectors.py
	$(BIN)/python benchmarks/link.py

# 100,000 frames over each bad cable, simulated clocks, a million hostile inputs: build/bridge.md.
promises: $(VENV)/.ready
	bash .ci/bridge

# atheris has wheels for Linux on x86-64 alone; elsewhere the target says that it skips.
FUZZED := bundle manifest dicom picture npy case tflite
SECONDS ?= 60
fuzz: $(VENV)/.ready
	@$(BIN)/python -c 'import atheris' 2>/dev/null \
		|| $(BIN)/pip install --quiet --only-binary :all: -c constraints.txt -e '.[fuzz]' \
		|| echo "fuzz: no atheris for this machine"
	for target in $(FUZZED); do \
		$(BIN)/python -m fuzz $$target --seconds $(SECONDS) || exit 1; done
	$(BIN)/python -m tests.bridge.c_fuzz --seconds $(SECONDS)

clean:
	rm -rf $(VENV) build
