"""Language: a word vocabulary, a small transformer's two halves, sequence-to-sequence models and what they score.

    model = load_seq2seq("nano-bart-short")
    model.write(["a red cat on the left; a blue cup; sky; grass"])
    Seq2SeqScorer(model).logprob(sources, targets)

A name imports the file it lives in when it is first asked for.
"""

from __future__ import annotations

from clipkit.lazy import exports

_HOME = {
    "vocabulary": "WordVocabulary split_words",
    "transformer": "Encoder TextDecoder",
    "seq2seq": "Seq2Seq",
    "shipped": "load_seq2seq save_seq2seq",
    "noising": "infill permute",
    "corpora": "caption_pairs caption_vocabulary documents reworded",
    "scorers": "DecoderBackend HuggingFaceBackend Seq2SeqScorer load_scorer",
    "tellings": "Telling read_telling",
    "corruptions": "Graded corrupt_text grade word_distance",
    "hypotheses": "Judged judged_texts",
}
__getattr__, __all__ = exports(__name__, _HOME)
