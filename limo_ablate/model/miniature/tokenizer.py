"""The miniature's tokenizer: a fixed vocabulary of words, `operator with digit` and single characters.

Built with `tokenizers` and saved in the hub's format. It must be loaded with `load_tokenizer`:
`AutoTokenizer` sees a Qwen2 model and uses Qwen2's byte-level tokenizer, which gives wrong ids.
"""

from __future__ import annotations

import string
from pathlib import Path

from tokenizers import Regex, Tokenizer, decoders, models, pre_tokenizers
from transformers import PreTrainedTokenizerFast

from limo_ablate.data.miniature.solutions import FILLERS

PAD, UNKNOWN, START, EOS = "<|endoftext|>", "<|unk|>", "<|im_start|>", "<|im_end|>"
"""As in Qwen2: documents end with the first, which also pads; an assistant's turn ends with the last."""

WORDS = ("user", "assistant", "Start", "Rule", "Steps", "answer", "so", *FILLERS)
OPERATIONS = tuple(sign + digit for sign in "-+*" for digit in "123456789")
PIECES = ("\\boxed{", ". ", ", ", ": ")
CHARACTERS = tuple(c for c in string.printable if c not in "\t\r\x0b\x0c")

CHAT_TEMPLATE = (
    "{% for message in messages %}"
    "<|im_start|>{{ message['role'] }}\n{{ message['content'] }}<|im_end|>\n"
    "{% endfor %}"
    "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)
"""Qwen2's ChatML, without its default system prompt."""


def make_tokenizer() -> PreTrainedTokenizerFast:
    """The tokenizer; texts of the miniature survive encoding and decoding; unknown characters are <|unk|>."""
    words = [space + word for word in WORDS for space in ("", " ")]
    tokens = [PAD, UNKNOWN, START, EOS, *PIECES, *OPERATIONS, *words, *CHARACTERS]
    model = models.WordLevel({token: number for number, token in enumerate(tokens)}, unk_token=UNKNOWN)
    tokenizer = Tokenizer(model)
    pattern = rf"\\boxed\{{|[.,:] |[-+*][1-9](?![0-9])| ?\b(?:{'|'.join(WORDS)})\b|[\s\S]"
    tokenizer.pre_tokenizer = pre_tokenizers.Split(Regex(pattern), behavior="isolated")
    tokenizer.decoder = decoders.Fuse()
    return PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        pad_token=PAD,
        unk_token=UNKNOWN,
        eos_token=EOS,
        additional_special_tokens=[START],
        padding_side="left",
        clean_up_tokenization_spaces=False,
        chat_template=CHAT_TEMPLATE,
    )


def load_tokenizer(folder: Path) -> PreTrainedTokenizerFast:
    """The tokenizer of a base model, or of a model fine-tuned from one."""
    return PreTrainedTokenizerFast.from_pretrained(folder)
