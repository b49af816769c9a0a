"""How EmojiStyles is made: sources, classes, near twins, splits, sheets and the tables of its data card.

`scripts/build_emoji_styles.py` runs all of it; `scripts/label_emoji_styles.py` measures the ceiling.
"""
