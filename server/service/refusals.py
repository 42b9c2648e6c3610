"""Ordinary answers that say no: every code with what happened and what to do about it, in one place.

A refusal is neither a bug nor a breakage: it is shown to a person or a program as it stands. `docs/api.md` lists
the same codes; a test holds the two together.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from server.refusal import Kind, Refusal


@dataclass(frozen=True, slots=True)
class Words:
    """How a code is said. `{name}` parts are filled from the values given to `refuse`."""

    kind: Kind
    message: str
    do: str


_I, _U, _F = Kind.INVALID, Kind.UNAUTHENTICATED, Kind.FORBIDDEN
_N, _C, _L = Kind.NOT_FOUND, Kind.CONFLICT, Kind.LATER

WORDS: Final[Mapping[str, Words]] = {
    # The request itself
    "bad_request": Words(_I, "The request could not be read: {detail}.", "Correct the named field and send it again."),
    "not_found": Words(_N, "There is nothing at this address.", "Check the address."),
    "method_not_allowed": Words(_I, "This address does not take that method.", "See /api/v1/openapi.json."),
    "too_large": Words(_I, "The request is larger than {limit} bytes.", "Send less at a time."),
    "too_many": Words(_L, "Too many requests of this kind.", "Wait {wait_s} seconds, then try again."),
    "broken": Words(_L, "Something of ours broke.", "Try again; if it stays so, tell us the reference."),
    "not_ready": Words(_L, "The service is not ready: {detail}.", "Try again in a minute."),
    "ingest_behind": Words(_L, "{sentence}", "{do}"),
    # Who is asking
    "sign_in_needed": Words(_U, "This needs somebody who is signed in.", "Sign in, or send a valid API token."),
    "token_invalid": Words(_U, "This token is not valid, or no longer.", "Make a new one in the settings."),
    "sign_in_failed": Words(_U, "E-mail address and password do not fit together.", "Check both, or reset it."),
    "sign_in_throttled": Words(_L, "Too many failed sign-ins.", "Wait {wait_s} seconds, or reset the password."),
    "csrf": Words(_F, "The request did not come from a page of ours.", "Reload the page and send it again."),
    "not_yours": Words(_F, "Your role ({role}) may not do this.", "Ask somebody whose role allows it: {allowed}."),
    "password_weak": Words(_I, "This password is too easy to guess.", "Take at least 12 characters."),
    "reset_invalid": Words(_I, "This reset link is not valid, or no longer.", "Ask for a new one."),
    "reset_limit": Words(
        _L, "There are unused links for this account, or it is disabled.", "Use one, or wait until they end."
    ),
    "email_invalid": Words(_I, "This is no e-mail address.", "Check it for a typing mistake."),
    "email_taken": Words(_C, "There is already an account with this address.", "Sign in, or reset the password."),
    "account_unknown": Words(_N, "There is no account with this address.", "Check the address, or invite them."),
    "zone_unknown": Words(_I, "There is no time zone {zone}.", "Take one such as Europe/Berlin."),
    "last_operator": Words(_C, "This is the last operator.", "Make another account an operator first."),
    "token_unknown": Words(_N, "You have no such living token.", "See the list of your tokens."),
    "token_expiry": Words(_I, "A token cannot end in the past.", "Take a later day, or none."),
    "token_limit": Words(_C, "There are {limit} tokens already.", "Revoke one that is not used."),
    # Orders
    "order_unknown": Words(_N, "There is no order {number}.", "Check the number, or record the order first."),
    "order_conflict": Words(
        _C, "Order {number} is already recorded with other contents.", "State what changed; facts are not replaced."
    ),
    "slot_unknown": Words(_N, "Order {number} has no slot {slot}.", "Number the units from 1 through the order."),
    "profile_unknown": Words(_N, "There is no sale profile {profile}.", "Take one of: {known}."),
    "policy_unknown": Words(_N, "There is no policy {policy}.", "Take one of: {known}."),
    "threshold_unknown": Words(_I, "{detail}.", "Give a threshold of docs/rules.md and a whole number: handling_bd=1."),
    "site_unknown": Words(_N, "There is no site {site}.", "Create the site first, or leave it out."),
    "statement_conflict": Words(
        _C, "Another statement already has the key {key}.", "Use a new key; a correction is a new statement."
    ),
    "statement_unknown": Words(_N, "There is no statement {key} to correct.", "Name a statement of this order."),
    "payload_unknown_key": Words(_I, "{detail}.", "Leave the field out; see docs/api.md for the payloads."),
    "payload_missing_key": Words(_I, "{detail}.", "Add the field; see docs/api.md for the payloads."),
    "payload_bad_value": Words(_I, "{detail}.", "Correct the field; see docs/api.md for the payloads."),
    "source_not_yours": Words(
        _F,
        "Your role ({role}) may not speak for the source {source}.",
        "State it as staff; carriers and systems speak through an operator's token.",
    ),
    # Contacts
    "contact_empty": Words(_I, "There is nothing to read in it.", "Write what it is about."),
    "phone_missing": Words(_I, "There is no number that we could call.", "Give a phone number with its area code."),
    "contact_outcome": Words(
        _I, "A call has an outcome, and nothing else has one.", "Give one of these for a call: {outcomes}."
    ),
    "channel_name": Words(_I, "There is no channel {channel}.", "Take one of these: {known}."),
    "too_many_texts": Words(_C, "There are {limit} public texts already.", "Change one of them."),
    "mail_unknown": Words(_N, "There is no letter {no}.", "See the list of letters that wait."),
    "mail_settled": Words(_C, "Letter {no} is settled already.", "See what is said about its order."),
    "said_in_future": Words(_I, "A statement cannot be made in the future.", "Check the clock and the zone."),
    "view_refused": Words(_N, "No order with this number and e-mail address.", "Check both as they stand in the mail."),
    "view_ended": Words(_U, "This link to the order has ended.", "Open the order again with number and e-mail."),
    # Intake: carriers, shop, files
    "carrier_unknown": Words(_N, "No carrier {vendor} is connected.", "See docs/intake.md for those that can be."),
    "signature_invalid": Words(
        _U, "The signature does not fit this body, or no secret is set here.", "Compare the secret on both sides."
    ),
    "webhook_old": Words(_U, "The time of this webhook is more than five minutes off.", "Check both clocks."),
    "webhook_unreadable": Words(
        _I, "This is not what its sender documents: {detail}.", "Compare it with docs/intake.md."
    ),
    "import_kind_unknown": Words(_N, "There is no import of {kind}.", "Take one of: {kinds}."),
    "import_unknown": Words(_N, "There is no such import.", "See the list of imports."),
    "import_too_long": Words(
        _I, "The file has more than {limit} rows.", "Divide it, or use the command line (docs/intake.md)."
    ),
    "sheet_unreadable": Words(_I, "The file cannot be read: {detail}.", "Export it again as CSV in UTF-8."),
    "sheet_columns": Words(_I, "The file's columns do not fit: {detail}.", "Compare them with docs/intake.md."),
    "row_invalid": Words(_I, "The row cannot be used: {detail}.", "Correct it, and import the file again."),
    # Messages to customers
    "message_stopped": Words(_C, "This message cannot go out. {detail}.", "See the preview for what to say instead."),
    "message_needs_reason": Words(
        _C, "Something speaks against this message. {detail}.", "Change it, or say why it is right all the same."
    ),
    "promise_repeated": Words(
        _C, "The same was promised before. {detail}.", "Let a remedy go with it, or promise nothing."
    ),
    "promise_without_due": Words(_I, "A promise without a due moment is refused. {detail}.", "Say by when."),
    # Remedies
    "remedy_unknown": Words(_N, "There is no remedy {no}.", "See the list of remedies."),
    "remedy_not_yours": Words(_F, "{why}", "Ask somebody whose role may; the remedy waits for them."),
    "remedy_not_eligible": Words(_C, "This cannot be had now: {why}", "Take another remedy, or see why at the order."),
    "remedy_reason": Words(_I, "This needs a reason.", "Say why you act against the evidence."),
    "remedy_amount": Words(_I, "The amount must be named, and be at most {most}.", "Name what was paid for it."),
    "remedy_conflict": Words(_C, "Another remedy already has the key {key}.", "Use a new key."),
    "remedy_settled": Words(_C, "The remedy is {state}: nothing more follows.", "Ask for a new one if need be."),
    "remedy_too_late": Words(_C, "The remedy is {state}; it cannot be taken back.", "See what became of it."),
    "replacement_no_faster": Words(_C, "{why}", "Take a faster service, or confirm it with a reason."),
    "port_failed": Words(_L, "The payment or label service said no: {why}.", "Try again, or do it by hand."),
    "second_person": Words(_F, "A second person must agree.", "Ask a colleague whose role may."),
    "second_look_early": Words(_C, "The second look is due after {until}.", "Look again then."),
    "payment_unknown": Words(_N, "There is no such entry in the ledger.", "See the list of payments."),
    "refund_not_owed": Words(_C, "No refund is owed for this order now.", "Write to the shop if you want it back."),
    "run_unknown": Words(_N, "There is no run {no}.", "See the list of runs."),
    "run_action": Words(_I, "This is not done for many at once.", "Take one of: {allowed}."),
    "run_orders": Words(_I, "There are {count} orders; a run has 1 to {limit}.", "Name other orders."),
    "run_conflict": Words(_C, "Another run already has the key {key}.", "Use a new key."),
    "run_settled": Words(_C, "The run is {state}: this cannot follow.", "Make a new preview if need be."),
    "run_not_yet": Words(_C, "The run may start after {until}.", "Wait, or take it back."),
    "cohort_unknown": Words(_N, "There is no living cohort {cohort}.", "Name its orders instead."),
    # Tags and claims
    "tag_unknown": Words(_N, "There is no such tag here.", "Check the number printed on the tag."),
    "code_mistyped": Words(_I, "A character of the code is wrong or missing.", "Compare it with the code in the box."),
    "code_unknown": Words(_N, "This code belongs to no tag of ours.", "Check it; if it is right, ask a person."),
    "claim_taken": Words(_C, "This tag is claimed by another account.", "Ask its owner to release or transfer it."),
    "claim_unknown": Words(_N, "There is no such claim of yours.", "Enter the code again."),
    "claim_expired": Words(_C, "The claim has ended: it lives for 15 minutes.", "Enter the code again."),
    "too_many_claims": Words(_L, "Too many claims at once.", "Wait 15 minutes, then enter the code again."),
    "tag_not_heard": Words(
        _C, "The tag is not heard here just now.", "Hold it near the gateway, press its button, and try again."
    ),
    "button_not_pressed": Words(
        _C, "The tag's button was not pressed in the last minute.", "Press the button, then try again at once."
    ),
    "tag_refused": Words(
        _C, "The tag refused the request.", "If it had an owner, they must release it; then try again."
    ),
    "carry_refused": Words(
        _C,
        "Whoever keeps this gateway lets nobody speak with tags through it.",
        "Name another gateway beside the tag.",
    ),
    "receipt_invalid": Words(_I, "This answer was not made by this tag for this claim.", "Repeat the activation."),
    "challenge_old": Words(_C, "The challenge has ended: it lives for 15 minutes.", "Repeat the activation."),
    "owner_key_invalid": Words(_I, "The owner's key or its signature is not valid.", "Sign the challenge again."),
    "gateway_unreachable": Words(
        _L, "No gateway can carry this just now.", "Check the gateway's name; if it is right, try again in a minute."
    ),
    "carry_busy": Words(
        _C, "This is carried already, or the gateway speaks with another tag.", "Wait a minute, then try again."
    ),
    # Private finding: claims, relays, days, households
    "claim_kind": Words(
        _C,
        "This step belongs to the other kind of claim.",
        "Begin again with the code (managed) or its hash (private).",
    ),
    "private": Words(
        _C, "This tag is private: our server has no places of it.", "Look with your own client: python -m owner locate."
    ),
    "not_private": Words(_C, "This tag is managed.", "Claim it privately first, with the code from its box."),
    "day_key_range": Words(_I, "These days cannot be taken: {detail}.", "Send the days that your client derives."),
    "day_key_invalid": Words(_I, "The key of day {day} is none that can be sealed to.", "Derive it from the secret."),
    "day_key_conflict": Words(
        _C, "Another key stands for one of these days.", "Send the keys of this tag's own secret, or later days."
    ),
    "relay_unknown": Words(_N, "There is no such line of yours, or no longer.", "Open another one."),
    "relay_full": Words(_L, "Too many people speak with their tags just now.", "Try again in a minute."),
    "gateway_needed": Words(_I, "Nobody but you can tell where a private tag is.", "Name the gateway beside the tag."),
    "not_reachable": Words(
        _C, "The tag was heard, but does not answer.", "Hold it nearer to the gateway, and try again."
    ),
    "household_key_invalid": Words(_I, "This is no X25519 public key.", "Send the 32 bytes that your client made."),
    "household_key_unknown": Words(
        _N, "No account with this address has made a household key.", "Ask them to sign in and make one."
    ),
    "household_unknown": Words(_N, "This tag is not shared with them.", "See with whom it is shared."),
    "household_limit": Words(_C, "The tag is shared with {limit} people already.", "Stop sharing it with somebody."),
    # Owning
    "transfer_unknown": Words(_N, "There is no such transfer to you.", "Ask the owner to start it again."),
    "transfer_to_self": Words(_I, "The tag is yours already.", "Name another account's e-mail address."),
    "no_receipt": Words(
        _N, "You have no receipt of this tag: it was handed over to you.", "Activate it again with the code."
    ),
    "not_lost": Words(_C, "This tag is not marked lost.", "Nothing needs to be done."),
    "found_code_unknown": Words(_N, "There is no tag with this code.", "Check the code on the tag."),
    "channel_unknown": Words(_N, "There is no such channel of yours.", "See the list of your channels."),
    "channel_limit": Words(_C, "There are {limit} channels already.", "Remove one first."),
    "webhook_unsafe": Words(_I, "This address cannot take our messages: {detail}.", "Use a public https address."),
    # Channels: apprise and Web Push
    "apprise_unsafe": Words(_I, "We do not write to this address: {detail}.", "Take a service of docs/operations.md."),
    "push_invalid": Words(_I, "This subscription cannot be used: {detail}.", "Subscribe anew in the browser."),
    "live_limit": Words(_L, "You watch {limit} tags live already.", "Close one of those pages, then reload this one."),
    "live_full": Words(_L, "Too many people watch their tags just now.", "Reload from time to time instead."),
    "period_invalid": Words(_I, "The period is not valid: {detail}.", "Ask for at most 31 days, from before to."),
    # The factory
    "lot_file_invalid": Words(_I, "This is no lot file.", "It is the factory's lot.json: lot, k_lot and k_factory."),
    "lot_unknown": Words(_N, "There is no lot {lot}.", "Import the lot's keys first (lot import)."),
    "lot_conflict": Words(_C, "Lot {lot} is known with another key.", "A lot has one key; ask the factory which."),
    "k_factory_conflict": Words(_C, "This lot is from another factory key than ours.", "Ask the factory which."),
    "factory_key_new": Words(
        _C,
        "The factory signs its manifests with a key that is not trusted yet.",
        "If the factory confirms it by another way: factory trust {key}",
    ),
    "factory_key_invalid": Words(_I, "This is no Ed25519 public key.", "Write its 32 bytes as 64 hexadecimal digits."),
    "manifest_shape": Words(_I, "This is no manifest: {detail}.", "Ask the factory for the whole file."),
    "manifest_signature": Words(_F, "No trusted factory key signed this manifest.", "Ask the factory how it signs."),
    "manifest_count": Words(_I, "The manifest is not whole: {detail}.", "Ask the factory for the whole file."),
    "manifest_conflict": Words(
        _C, "Manifest {manifest} is known with other contents.", "A corrected manifest has a new name."
    ),
    # Gateways
    "gateway_unknown": Words(_N, "There is no gateway {gateway}.", "Check its name in the list of gateways."),
    "gateway_exists": Words(_C, "There is already a gateway {gateway}.", "Take another name, or give it a new token."),
    "gateway_name": Words(_I, "A gateway's name has small letters, digits and hyphens.", "Take another name."),
    "enrolment_refused": Words(
        _F, "This enrolment token is not valid, or no longer.", "Ask the operator for a new one."
    ),
    # Private finding: reports and the directory
    "gateway_refused": Words(
        _U, "No enrolled gateway of this server signed this.", "Keep what you have, and enrol the gateway again."
    ),
    "directory_unknown": Words(
        _N, "There is no such directory or part of one.", "Take a day from yesterday to the day after tomorrow (UTC)."
    ),
    "owner_needed": Words(
        _I, "It must be known who runs a gateway that is not ours.", "Name its owner: two of one owner are one witness."
    ),
    "site_needed": Words(_I, "A gateway of class own_site stands at a site of ours.", "Name the site."),
    "site_invalid": Words(_I, "The site cannot be used: {detail}.", "Correct it and try again."),
    "broker_list_failed": Words(
        _L, "The broker's list {file} could not be written ({why}).", "Let the server write to its folder."
    ),
    "site_exists": Words(_C, "There is already a site {site} with other data.", "Take another name."),
}


def refuse(code: str, *, reference: str = "", **values: object) -> Refusal:
    """The refusal with this code, ready to be raised; `values` fill its sentences and may be shown to anybody."""
    words = WORDS[code]  # a code that is not in the table is a bug
    return Refusal(words.kind, code, words.message.format(**values), words.do.format(**values), reference)
