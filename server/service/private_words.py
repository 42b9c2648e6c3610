"""What private and managed mean for an owner, in one place for the API and every page."""

from __future__ import annotations

from typing import Final

# One sentence of consequence each, read before the owner chooses.
MANAGED_MEANS: Final = (
    "Managed: our server can read where the tag is, and as long as you have your account we can help you to find it."
)
PRIVATE_MEANS: Final = (
    "Private: only your keys open where the tag is; if you lose them and the recovery phrase, nobody can open it any"
    " more, and neither can we."
)
CHANGE: Final = "You can change this later: claim the tag again with its code and choose the other way."
# Beside the places of a private tag, on the page that opens them.
OPENED_HERE: Final = (
    "This tag is private: its places are opened in this browser, with your keys. Our server keeps them sealed; it"
    " learns that the tag was heard, and cannot read where."
)
NEEDS_SCRIPT: Final = (
    "A private tag needs JavaScript: its keys are made and used in your browser, and never sent to us."
)
# Said beside every place of a managed tag: the server can read it.
MANAGED_NOTE: Final = (
    "This tag is managed: our server can read its places. We show them to you only; support and search never see them."
)
# Said of a private tag, where a managed one's place would stand.
PRIVATE_NOTE: Final = (
    "This tag is private: our server learns that it was heard, and cannot read where. Claim it again with the code from"
    " its box to have it managed."
)
NO_KEYS: Final = (
    "It is private, and has no keys of yours: claim it with the code from its box now. Until then it goes on as its"
    " former owner left it, who may still be able to read where it is."
)
