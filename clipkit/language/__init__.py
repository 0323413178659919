"""Language: a word vocabulary, a small transformer's two halves, sequence-to-sequence models and what they score.

    model = load_seq2seq("nano-bart-short")
    model.write(["a red cat on the left; a blue cup; sky; grass"])
    Seq2SeqScorer(model).logprob(sources, targets)

A name imports the file it lives in when it is first asked for.
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach(
    __name__,
    submod_attrs={
        "caption_numbers": ["counterfactual_captions", "stated_count", "swap_number"],
        "factual_errors": ["Graded", "corrupt_text", "grade", "word_distance"],
        "parsed_caption": ["Telling", "read_telling"],
        "scorers": ["DecoderBackend", "HuggingFaceBackend", "Seq2SeqScorer", "load_scorer"],
        "seq2seq": ["Seq2Seq", "load_seq2seq"],
        "transformer": ["Encoder", "TextDecoder"],
        "vocabulary": ["WordVocabulary", "split_words"],
    },
)
