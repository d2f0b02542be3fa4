"""Characters that a terminal obeys, and a name made of what people have hidden in names."""

#: Escape and its one-byte cousins, ends of commands, what moves the cursor, deletes, turns the writing round or hides.
OBEYED = (
    "\x1b", "\x07", "\x08", "\r", "\x00", "\x0b", "\x0c", "\x0e", "\x7f", "\x85", "\x90", "\x9b", "\x9c", "\x9d",
    "\u061c", "\u200b", "\u200e", "\u200f", "\u2028", "\u2029", "\u202a", "\u202b", "\u202c", "\u202d", "\u202e",
    "\u2066", "\u2067", "\u2068", "\u2069", "\ufeff", "\U000e0041",
)  # fmt: skip
#: A title, a cleared screen, a clipboard, a link, colours, an eight-bit sequence, writing turned round.
NAME = (
    "Bolt\x1b]0;owned\x07\x1b[2J\x1b[31m\x1b]52;c;aGk=\x07\x1b]8;;http://evil/\x1b\\link\x1b]8;;\x1b\\"
    "\x9b2J\u202etxt.exe\u2066[red]x[/]"
)
