"""Which kinds of personal data a text shows, by their form: what a caller did not say, but a hosted model should not see.

Comes in: texts. Goes out: the kinds found, in the order of ``KINDS``, never the text itself. Keeps nothing, cannot fail. Pure, and
linear in the text's length.

Only what can be told by its form is found: addresses of mail, telephone numbers, numbers of payment cards and bank accounts (with
their check digits), American social security numbers, dates of birth that are called so. A name, a postal address or a
disease is not found, so a caller who knows better states the sensitivity; what is found only ever raises it.

Sources: ISO/IEC 7812-1 (card numbers, Luhn's digit), ISO 13616-1 (IBAN), RFC 5321 (lengths of a mail address), ITU-T E.164 (at most
15 digits of a telephone number).
"""

import re
from collections.abc import Callable, Iterable
from typing import Final

KINDS: Final = (
    "an e-mail address",
    "a telephone number",
    "a payment card number",
    "a bank account number",
    "a social security number",
    "a date of birth",
)

_MAIL = re.compile(r"(?<![\w.+-])[\w.+%-]{1,64}@(?:[A-Za-z0-9-]{1,63}\.){1,8}[A-Za-z]{2,24}(?![\w-])")
_ABROAD = re.compile(r"(?<![\w+])(?:\+|00)[1-9](?:[ ()./-]{0,2}\d){6,14}(?!\d)")
_AT_HOME = re.compile(
    r"(?<![\w.+-])(?:\(\d{2,5}\) ?|0\d{1,4}[ /-]|\d{3}[ .-](?=\d{3}[ .-]\d{4}))\d{2,4}(?:[ .-]?\d{2,4}){1,3}(?![\w-])"
)
_CARD = re.compile(r"(?<![\w.-])[2-6]\d{3}(?:[ -]?\d){8,15}(?![\d-])")
_ACCOUNT = re.compile(r"(?<![A-Za-z0-9])[A-Z]{2}\d{2}(?: ?[A-Z0-9]){11,30}(?![A-Za-z0-9])")
_SECURITY = re.compile(r"(?<![\d-])(?!000|666|9\d\d)\d{3}-(?!00)\d{2}-(?!0000)\d{4}(?![\d-])")
_BIRTH = re.compile(
    r"\b(?:born(?: on)?|date of birth|birth ?date|birthday|d\.?o\.?b\.?)\b[^\d\n]{0,20}"
    r"(?:\d{1,4}[./-]\d{1,2}[./-]\d{1,4}|\d{1,2}(?:st|nd|rd|th)?\b[^\d\n]{0,14}\d{4})",
    re.IGNORECASE,
)
_DIGIT = re.compile(r"\d")
_DIGITS_ABROAD = range(8, 18)
"""The country's code and the prefix 00 included."""
_DIGITS_AT_HOME = range(9, 14)
"""Not fewer: a date such as 01-02-2024 has eight."""
_CARD_DIGITS = range(12, 20)
_LENGTHS = (
    "AD24 AE23 AL28 AT20 AZ28 BA20 BE16 BG22 BH22 BR29 BY28 CH21 CR22 CY28 CZ24 DE22 DK18 DO28 EE20 EG29 ES24 FI18 FO18 FR27 "
    "GB22 GE22 GI23 GL18 GR27 GT28 HR21 HU28 IE22 IL23 IQ23 IS26 IT27 JO30 KW30 KZ20 LB28 LC32 LI21 LT20 LU20 LV21 LY25 MC27 "
    "MD24 ME22 MK19 MR27 MT31 MU30 NL18 NO15 PK24 PL28 PS29 PT25 QA29 RO24 RS22 SA24 SC31 SE24 SI19 SK24 SM27 ST25 SV28 TL23 "
    "TN24 TR26 UA29 VA22 VG24 XK20"
)
_ACCOUNT_LENGTHS = {each[:2]: int(each[2:]) for each in _LENGTHS.split()}
"""Characters of an account number, by country."""
_MODULUS = 97


def personal_kinds(texts: Iterable[str]) -> tuple[str, ...]:
    """The kinds of personal data that any of the texts shows, as ``KINDS`` names them."""
    found: set[str] = set()
    for text in texts:
        if "@" in text and _MAIL.search(text):
            found.add(KINDS[0])
        if _DIGIT.search(text):
            found.update(kind for kind, shows in _BY_DIGITS if kind not in found and shows(text))
    return tuple(kind for kind in KINDS if kind in found)


def _telephone(text: str) -> bool:
    return any(
        sum(map(str.isdigit, match.group())) in digits
        for pattern, digits in ((_ABROAD, _DIGITS_ABROAD), (_AT_HOME, _DIGITS_AT_HOME))
        for match in pattern.finditer(text)
    )


def _card(text: str) -> bool:
    return any(_has_luhn_digit(re.sub(r"[ -]", "", match.group())) for match in _CARD.finditer(text))


def _has_luhn_digit(digits: str) -> bool:
    if len(digits) not in _CARD_DIGITS:
        return False
    doubled = (int(digit) * (1 + place % 2) for place, digit in enumerate(reversed(digits)))
    return sum(number - 9 if number > 9 else number for number in doubled) % 10 == 0  # noqa: PLR2004 - Luhn's digit sum


def _account(text: str) -> bool:
    return any(_has_check_digits(match.group().replace(" ", "")) for match in _ACCOUNT.finditer(text))


def _has_check_digits(account: str) -> bool:
    """Whether it begins with an IBAN; words in capitals may follow it."""
    length = _ACCOUNT_LENGTHS.get(account[:2], len(account) + 1)
    if length > len(account):
        return False
    return int("".join(str(int(letter, 36)) for letter in account[4:length] + account[:4])) % _MODULUS == 1


_BY_DIGITS: Final[tuple[tuple[str, Callable[[str], object]], ...]] = (
    (KINDS[1], _telephone),
    (KINDS[2], _card),
    (KINDS[3], _account),
    (KINDS[4], _SECURITY.search),
    (KINDS[5], _BIRTH.search),
)
