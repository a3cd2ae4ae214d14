"""Turn a model folder, evaluation sets and packed rows into evaluation.json."""

import logging
import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from abovo.console.progress import Progress, several
from abovo.errors import AbovoError
from abovo.evaluation import harness
from abovo.evaluation.generate import generate, smoke_score
from abovo.evaluation.metrics import Metrics
from abovo.evaluation.samples import choice_metrics, document_metrics, loss_metric, public_metrics
from abovo.evaluation.statistics import Scores, rounded
from abovo.evaluation.tasks import data_file, local_task
from abovo.provenance.code import Script
from abovo.provenance.files import write_json
from abovo.provenance.hashing import sha256_file
from abovo.provenance.manifest import Manifest
from abovo.provenance.products import Job, Made, produce
from abovo.settings.keys import decisive
from abovo.settings.stages import EvaluationSettings
from abovo.tokenizing.templates import TEMPLATES

log = logging.getLogger("abovo")
# Rows of val.bin that are scored at once: what intervals take for one item, and small enough for a processor's caches.
BLOCK = 4
WINDOWS = (
    "disjoint windows of {context} targets (lm-eval's loglikelihood_rolling): the first starts from EOS, each next one"
    " from the last token of the one before, the last one looks back as far as the context allows"
)
CHOICE = "zero-shot; the option with the highest summed log-likelihood after the prompt; prompt as {form}"
ROWS = "labels = ids, in-row shift, mean over the L-1 targets of each row that are not padding"


def evaluate_model(
    model: Manifest,
    sets: Mapping[str, Manifest],
    packed: Mapping[str, Manifest],
    settings: EvaluationSettings,
    output: Path,
    script: Script | Path,
) -> Manifest:
    """Evaluate a model on its corpora's validation sets and on the public tasks that the settings name.

    `sets` and `packed` map the names of corpora to what was made of them.
    Raises AbovoError where the model, the rows and the sets do not belong together.
    """
    check_inputs(model, list(sets.values()), list(packed.values()))
    inputs = {"model": model}
    inputs |= {f"set/{name}": item for name, item in sets.items()}
    inputs |= {f"packed/{name}": item for name, item in packed.items()}

    def make(folder: Path) -> Made:
        return _Evaluation(model, sets, packed, settings).run(folder)

    return produce(Job(output, "abovo/evaluation/1", inputs, decisive(settings), script), make)


def check_inputs(model: Manifest, sets: Sequence[Manifest], packed: Sequence[Manifest]) -> None:
    """Fail unless rows and model share the tokenizer and every set comes from a corpus that the rows were made of."""
    model.verify("model/")
    weights = model.path.parent / "model" / "model.safetensors"
    if not model.data.get("model_sha256") or model["model_sha256"] != sha256_file(weights):
        raise AbovoError(f"its model_sha256 is not that of {weights}", model.path, "make the model again")
    corpora: set[str] = set()
    for item in packed:
        item.require_tokenizer(model["tokenizer_sha256"])
        corpora.add(item["inputs"]["corpus"]["digest"])
    for item in sets:
        if item["inputs"]["corpus"]["digest"] not in corpora:
            what = "made from another state of its corpus than the packed rows, so its documents may have been trained"
            raise AbovoError(what, item.path, "make both again from the same corpus")


class _Evaluation:
    """One pass over everything; what the parts share is the loaded model and where metrics go."""

    def __init__(
        self,
        model: Manifest,
        sets: Mapping[str, Manifest],
        packed: Mapping[str, Manifest],
        settings: EvaluationSettings,
    ) -> None:
        self.manifest, self.sets, self.packed, self.settings = model, sets, packed, settings
        self.context = int(model["sequence_length"])
        self.metrics: Metrics = {}
        self.scores: dict[str, Scores] = {}
        self.progress = Progress(f"evaluate {model.path.parent.as_posix()}")

    def run(self, folder: Path) -> Made:
        import torch

        torch.set_num_threads(self.settings.threads)
        torch.manual_seed(self.settings.seed)
        self.device = "cuda" if torch.cuda.is_available() else "cpu"
        self.progress.update("loading the model", force=True)
        path = self.manifest.path.parent / "model"
        self.lm = harness.open_model(path, self.device, self.settings.batch_size, self.context, self.progress)
        self.vocabulary = len(self.lm.tokenizer)
        self._tasks()
        self._rows()
        chat = bool(self.lm.tokenizer.chat_template)
        self.progress.update("greedy generations", force=True)
        prompts, new_tokens = self.settings.prompts, self.settings.new_tokens
        generations = generate(self.lm.model, self.lm.tokenizer, prompts, chat, new_tokens, self.context)
        _write_scores(folder / "evaluation_scores.json", self.scores)
        self.progress.close(f"{several(len(self.metrics), 'metric')}, {several(len(generations), 'generation')}")
        fields = {
            "tokenizer_sha256": self.manifest["tokenizer_sha256"],
            "model_sha256": self.manifest["model_sha256"],
            "metrics": self.metrics,
            "not_evaluated": {name: found for name, item in self.sets.items() if (found := item["not_evaluated"])},
            "generations": generations,
            "smoke": smoke_score(generations),
            "protocol": self._protocol(""),
        }
        return Made({"metrics": len(self.metrics), "generations": len(generations)}, fields)

    def _protocol(self, how: str) -> dict[str, Any]:
        protocol = {
            "context_tokens": self.context,
            "prefix": f"token {self.lm.prefix_token_id} (EOS) before a text without context; no BOS",
            "tokenization": f"tokenizer {self.manifest['tokenizer_sha256'][:12]}, text as it is, no special tokens",
            "software": harness.version(),
            "device": self.device,
            "precision": "float32",
        }
        return {**protocol, "how": how} if how else protocol

    def _tasks(self) -> None:
        public = list(self.settings.tasks)
        local, origin = {}, {}
        for corpus, item in self.sets.items():
            for task in item["tasks"]:
                name = self._name(corpus, task)
                origin[name] = task
                local[name] = local_task(name, task, item.file(data_file(task)), self.settings.template)
        self.progress.update(f"scoring {', '.join([*local, *public])}", force=True)
        samples, results = harness.score(self.lm, local, public, self.progress)
        for name, task in origin.items():
            self._local(name, task, samples[name])
        for name in public:
            protocol = self._protocol("as lm-eval defines the task, zero-shot, by log-likelihood, on all of its rows")
            found, scores = public_metrics(name, samples[name], results[name], protocol)
            self._keep(name, found, scores)

    def _local(self, name: str, task: str, samples: Sequence[Mapping[str, Any]]) -> None:
        if task == "validation":
            protocol = self._protocol(WINDOWS.format(context=self.context))
            tokens = [len(self.lm.tok_encode(sample["doc"]["text"])) for sample in samples]
            found, scores = document_metrics(samples, tokens, self.vocabulary, protocol)
        else:
            form = TEMPLATES[self.settings.template].title if task.endswith("_chat") else "plain text"
            found, scores = choice_metrics(samples, self._protocol(CHOICE.format(form=form)))
        self._keep(name, found, scores)

    def _rows(self) -> None:
        """The loss on the rows of val.bin, by the very function that the trainer validates with."""
        import torch

        from abovo.training.loss import summed_loss
        from abovo.training.sets import open_rows

        for corpus, item in self.packed.items():
            rows = open_rows(item, "val")
            losses, targets = [], []
            for first in range(0, len(rows), BLOCK):
                self.progress.update(f"validation rows {first}/{len(rows)}")
                batch = rows[first : first + BLOCK].batch()
                if batch.targets:
                    with torch.inference_mode():
                        losses.append(summed_loss(self.lm.model, batch).item())
                    targets.append(batch.targets)
            if not targets:
                raise AbovoError("holds no validation row", item.path, "raise validation_share of the corpus")
            name = self._name(corpus, "rows")
            scores = Scores(losses, targets)
            entry = loss_metric(scores, len(rows), self.vocabulary, self._protocol(ROWS))
            self._keep(name, {"validation_loss": entry}, scores)

    def _name(self, corpus: str, task: str) -> str:
        """The name of a task in the results; that of its corpus goes before it where there are several."""
        return task if max(len(self.sets), len(self.packed)) == 1 else f"{corpus}.{task}"

    def _keep(self, name: str, found: Metrics, scores: Scores) -> None:
        self.metrics |= {f"{name}.{key}": value for key, value in found.items()}
        self.scores[f"{name}.{next(iter(found))}"] = scores
        log.info("%s: %s", name, ", ".join(f"{key} {value['value']:.4g}" for key, value in found.items()))


def _write_scores(path: Path, scores: Mapping[str, Scores]) -> None:
    """What each item added to the first metric of each task, so that two evaluations can be compared item by item."""
    rows = {}
    for name, item in scores.items():
        if not all(map(math.isfinite, item.parts)):
            raise AbovoError("a score is not finite", f"task {name}", "the model's weights are broken; train it again")
        clusters = {"clusters": list(item.clusters)} if item.clusters else {}
        rows[name] = {"parts": list(map(rounded, item.parts)), "wholes": list(item.wholes), **clusters}
    write_json(path, rows)
