"""Which files an upload may hold: the adapter's two, a few that everyone's tools add, and nothing else."""

from __future__ import annotations

from typing import Literal

from models_registry.inspection.findings import Findings
from models_registry.inspection.sources import CONFIG_NAME, WEIGHTS_NAME

Role = Literal["config", "weights", "other"]

_PICKLE_SUFFIXES = (".bin", ".pt", ".pth", ".pkl", ".pickle", ".ckpt")
# Written beside the weights by PEFT, transformers' Trainer and macOS; never kept, so they can do no harm.
_COMPANIONS = frozenset(
    {
        "README.md",
        "LICENSE",
        "LICENSE.txt",
        "NOTICE",
        ".gitattributes",
        ".DS_Store",
        "tokenizer.json",
        "tokenizer_config.json",
        "special_tokens_map.json",
        "vocab.json",
        "merges.txt",
        "tokenizer.model",
        "chat_template.jinja",
        "trainer_state.json",
        "generation_config.json",
    }
)


class Layout:
    """Follows an upload's names; the two files may lie at the root or together in one folder of any name."""

    def __init__(self, findings: Findings) -> None:
        self._findings = findings
        self._folder: str | None = None

    def role(self, name: str) -> Role:
        """What the file of this name is for; adds a finding when it should not be there."""
        folder, _, base = name.rpartition("/")
        if base.startswith("._") or folder.split("/")[0] == "__MACOSX":
            return "other"
        if base.lower().endswith(_PICKLE_SUFFIXES):
            self._findings.error(
                "pickle_refused",
                f"{base!r} is a pickle file. Pickles can run code when loaded and are never accepted.",
                "Save with model.save_pretrained(folder, safe_serialization=True) and upload only that.",
            )
            return "other"
        if base in (CONFIG_NAME, WEIGHTS_NAME):
            return self._wanted(folder, base)
        if base in _COMPANIONS:
            self._findings.warn("extra_file_ignored", f"{base!r} is not needed for serving and will not be kept.")
        else:
            self._findings.error(
                "unexpected_file",
                f"{base!r} does not belong to an adapter.",
                f"Upload only {CONFIG_NAME} and {WEIGHTS_NAME}.",
            )
        return "other"

    def _wanted(self, folder: str, base: str) -> Role:
        if self._folder is None:
            self._folder = folder
        if folder != self._folder or "/" in folder:
            self._findings.error(
                "layout_invalid",
                f"{base} must lie at the root of the upload or, with the other file, in one folder.",
                "Upload one adapter at a time.",
            )
            return "other"
        return "config" if base == CONFIG_NAME else "weights"
