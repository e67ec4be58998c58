r"""Splits the text of a Compose file's command or entrypoint into words, as Compose does.

Compose uses mattn/go-shellwords (shellwords.go, Parser.Parse), which differs from a shell. It removes a backslash in double
quotes before any character. It reads "\n" and "\t" as a line feed and a tab. At the first of ; & | < > that is not quoted,
it discards the rest of the text without a warning.
"""

from __future__ import annotations

_LETTERS = {"n": "\n", "t": "\t"}


def split_words(text: str) -> tuple[tuple[str, ...], str]:
    """Splits a text.

    Returns:
      The words, and the rest of the text that Compose leaves out.

    Raises:
      ValueError: Compose refuses the text; the error says why.
    """
    words: list[str] = []
    word, is_begun, rest = "", False, ""
    quote = ""  # The open quotation mark; "(" in a command substitution, whose text stays as it is.
    is_escaped = False
    for at, character in enumerate(text):
        if is_escaped:
            word += _LETTERS.get(character, character)
            is_escaped, is_begun = False, True
            continue
        if character == "\\" and quote != "'":
            is_escaped = True
            continue
        if character in " \t\r\n":
            if quote:
                word += character
            elif is_begun:
                words.append(word)
                word, is_begun = "", False
            continue
        if character in "'\"" and quote in ("", character):
            is_begun, quote = is_begun or bool(quote), "" if quote else character
            continue
        if character == "`" and quote in ("", "`"):
            quote = "" if quote else "`"
        elif character in "()" and quote not in ("'", '"', "`"):
            if (character == ")") != (quote == "(") or (character == "(" and not word.endswith("$")):
                raise ValueError(f'not a valid command: Compose refuses "{character}" here; quote it')
            quote = "(" if character == "(" else ""
        elif character in ";&|<>" and not quote:
            rest = text[at:]
            # In 2>&1, the number belongs to the redirection.
            is_begun = is_begun and not (character == ">" and word.isdecimal())
            break
        is_begun = True
        word += character
    if is_begun:
        words.append(word)
    if is_escaped or quote:
        raise ValueError("not a valid command: " + ("no closing quotation" if quote else "ends with a backslash"))
    return tuple(words), rest
