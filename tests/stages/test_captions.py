from collections import Counter

from stages.captions import choose_caption, clean_captions


def test_white_space_collapses_and_empty_captions_go() -> None:
    assert clean_captions(["  a  dog\n", "", " \t", "un été\u00a0bleu"]) == ("a dog", "un été bleu")


def test_the_choice_depends_on_seed_and_key_alone() -> None:
    captions = ("a", "b", "c", "d", "e")
    assert choose_caption(captions, 3, "key") == choose_caption(captions, 3, "key")


def test_every_caption_is_chosen_about_equally_often() -> None:
    counts = Counter(choose_caption(("a", "b", "c", "d", "e"), 0, str(number)) for number in range(5000))
    # Chi-square with 4 degrees of freedom: 18.5 is exceeded once in a thousand seeds.
    assert sum((count - 1000) ** 2 / 1000 for count in counts.values()) < 18.5
