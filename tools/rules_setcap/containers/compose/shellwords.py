"""Splits the text of a Compose file's command or entrypoint into words, as Compose does.

Compose uses mattn/go-shellwords (shellwords.go, Parser.Parse), which differs from a shell: a backslash in double quotes
goes away whatever follows it, "\\n" and "\\t" are a line feed and a tab, and the text ends without a warning at the first
of ; & | < > that is not quoted.
"""

from __future__ import annotations

_LETTERS = {"n": "\n", "t": "\t"}


def split_words(text: str) -> tuple[tuple[str, ...], str]:
    """Returns the words, and the rest of the text that Compose leaves out.

    Raises:
      ValueError: Compose refuses the text.
    """
    words: list[str] = []
    word, begun, rest = "", False, ""
    quote = ""  # The quote that is open; "(" for a command substitution, which stays as it is.
    escaped = False
    for at, character in enumerate(text):
        if escaped:
            word += _LETTERS.get(character, character)
            escaped, begun = False, True
            continue
        if character == "\\" and quote != "'":
            escaped = True
            continue
        if character in " \t\r\n":
            if quote:
                word += character
            elif begun:
                words.append(word)
                word, begun = "", False
            continue
        if character in "'\"" and quote in ("", character):
            begun, quote = begun or bool(quote), "" if quote else character
            continue
        if character == "`" and quote in ("", "`"):
            quote = "" if quote else "`"
        elif character in "()" and quote not in ("'", '"', "`"):
            if (character == ")") != (quote == "(") or (character == "(" and not word.endswith("$")):
                raise ValueError(f'no command: Compose refuses "{character}" here; quote it')
            quote = "(" if character == "(" else ""
        elif character in ";&|<>" and not quote:
            rest = text[at:]
            # As in 2>&1: the number belongs to the redirection.
            begun = begun and not (character == ">" and word.isdecimal())
            break
        begun = True
        word += character
    if begun:
        words.append(word)
    if escaped or quote:
        raise ValueError("no command: " + ("no closing quotation" if quote else "ends with a backslash"))
    return tuple(words), rest
