"""What is in a Form of the stand-in: every kind of item and question, and its responses.

All of it is computed from the file's id and revision, so that it needs no storage and a test can
tell what must arrive. Shapes follow the schemas Form and FormResponse of the Forms API v1
(developers.google.com/forms/api/reference/rest/v1/forms).
"""

from __future__ import annotations

import hashlib
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from emulator.items import Item

# Texts that break exporters: markup, formulas, right-to-left, quotes, line breaks, paths. Titles
# at Google never hold a line break; answers do.
HOSTILE = (
    '<script>alert("form")</script>',
    '=HYPERLINK("http://example.invalid","click")',
    "\u202egnp.exe \u0627\u0644\u0639\u0631\u0628\u064a\u0629",
    "line one\nline two\r\n\ttabbed",
    "\"quoted\", 'single', back\\slash, comma, semi;colon",
    "../../etc/passwd",
    "e\u0301 vs \u00e9, \U0001f469\u200d\U0001f469\u200d\U0001f467, \u0000-free".replace(
        "\u0000", ""
    ),
    "x" * 4000,
)
_COLOURS = ("Red", "Green", "<b>Blue</b>", "Ünïcode ✓")
_ROWS = ("Speed", "Taste & smell")
_STEP_MS = 3_600_000  # between two responses


def form_body(item: Item) -> dict[str, Any]:
    """The Form resource of a Drive file."""
    return {
        "formId": item.id,
        "info": {
            "title": item.name,
            "description": f"Revision {item.revision}. {HOSTILE[0]}",
            "documentTitle": item.name,
        },
        "settings": {
            "quizSettings": {"isQuiz": is_quiz(item)},
            "emailCollectionType": "RESPONDER_INPUT",
        },
        "revisionId": f"{item.revision:08x}{_digest(item.id, 'revision')[:8]}",
        "responderUri": f"https://docs.google.com/forms/d/e/{_digest(item.id, 'uri')}/viewform",
        "items": [*_questions(item), *_groups(item), *_decorations(item)],
        "publishSettings": {
            "publishState": {"isPublished": True, "isAcceptingResponses": True},
        },
    }


def response_count(item: Item) -> int:
    """How many responses a Form has: none for one in four, else up to 64."""
    seed = int(_digest(item.id, "replies")[:4], 16)
    return 0 if seed % 4 == 0 else seed // 4 % 64 + 1


def form_response(item: Item, number: int) -> dict[str, Any]:
    """The response of that number, counted from 0 in the order of submission."""
    created_ms = submitted_ms(item, number)
    response: dict[str, Any] = {
        "responseId": response_id(item, number),
        "createTime": rfc3339(created_ms),
        "lastSubmittedTime": rfc3339(created_ms),
        "respondentEmail": f"respondent{number}@example.org",
        "answers": _answers(item, number),
    }
    if is_quiz(item):
        response["totalScore"] = 2.0 if number % 2 == 0 else 0.0
    return response


def response_id(item: Item, number: int) -> str:
    """An opaque id, stable for the form and number."""
    return "ACYDBN" + _digest(item.id, f"response {number}")[:40]


def submitted_ms(item: Item, number: int) -> int:
    """When a response was last submitted, epoch milliseconds; grows with the number."""
    return item.created_ms + (number + 1) * _STEP_MS + number


def rfc3339(ms: int) -> str:
    """Epoch milliseconds as Google writes a google-datetime."""
    return datetime.fromtimestamp(ms / 1000, UTC).isoformat(timespec="milliseconds")[:-6] + "Z"


def is_quiz(item: Item) -> bool:
    """Whether the Form grades its answers: every second one, by its id."""
    return int(_digest(item.id, "quiz")[0], 16) % 2 == 0


def _questions(item: Item) -> list[dict[str, Any]]:
    """One item for each kind of question that stands alone."""
    kinds: list[tuple[str, str, dict[str, Any]]] = [
        ("short", HOSTILE[1], {"textQuestion": {}}),
        ("long", HOSTILE[5], {"textQuestion": {"paragraph": True}}),
        ("radio", HOSTILE[4], {"choiceQuestion": _choice("RADIO", other=True)}),
        ("boxes", HOSTILE[2], {"choiceQuestion": _choice("CHECKBOX", shuffle=True)}),
        ("drop", HOSTILE[6], {"choiceQuestion": _choice("DROP_DOWN")}),
        ("scale", "Scale", {"scaleQuestion": {"low": 1, "high": 5, "lowLabel": "bad"}}),
        ("date", "Date", {"dateQuestion": {"includeYear": True, "includeTime": True}}),
        ("time", "Time", {"timeQuestion": {"duration": True}}),
        ("rating", "Rating", {"ratingQuestion": {"ratingScaleLevel": 5, "iconType": "HEART"}}),
        ("file", "Upload", {"fileUploadQuestion": _upload(item)}),
    ]
    items = []
    for key, title, kind in kinds:
        question = {"questionId": _id(item, key), "required": key == "radio", **kind}
        if key == "radio" and is_quiz(item):
            question["grading"] = _grading()
        entry = {"itemId": _id(item, f"item {key}"), "title": title}
        items.append({**entry, "questionItem": {"question": question}})
    return items


def _groups(item: Item) -> list[dict[str, Any]]:
    """The two grids: one choice a row, several choices a row."""
    items = []
    for kind in ("RADIO", "CHECKBOX"):
        rows = [
            {"questionId": _id(item, f"{kind} {row}"), "rowQuestion": {"title": row}}
            for row in _ROWS
        ]
        columns = {"type": kind, "options": [{"value": value} for value in _COLOURS]}
        group = {"questions": rows, "grid": {"columns": columns}}
        entry = {"itemId": _id(item, f"grid {kind}"), "title": f"Grid {kind.lower()}"}
        items.append({**entry, "questionGroupItem": group})
    return items


def _decorations(item: Item) -> list[dict[str, Any]]:
    """The items that ask nothing."""
    image = {
        "contentUri": f"https://lh3.googleusercontent.com/{_digest(item.id, 'image')}",
        "altText": HOSTILE[0],
        "properties": {"alignment": "CENTER", "width": 740},
    }
    video = {"youtubeUri": "https://www.youtube.com/watch?v=stand-in", "properties": {"width": 320}}
    entries: list[dict[str, Any]] = [
        {"title": "Section two", "description": HOSTILE[7], "pageBreakItem": {}},
        {"title": HOSTILE[5], "description": HOSTILE[2], "textItem": {}},
        {"title": "A picture", "imageItem": {"image": image}},
        {"title": "A film", "videoItem": {"video": video, "caption": HOSTILE[4]}},
    ]
    return [
        {"itemId": _id(item, f"decoration {number}"), **entry}
        for number, entry in enumerate(entries)
    ]


def _choice(kind: str, *, other: bool = False, shuffle: bool = False) -> dict[str, Any]:
    options: list[dict[str, Any]] = [{"value": value} for value in _COLOURS]
    if other:
        options.append({"isOther": True})
    if kind == "DROP_DOWN":
        options[0]["goToAction"] = "SUBMIT_FORM"
    choice: dict[str, Any] = {"type": kind, "options": options}
    return choice | {"shuffle": True} if shuffle else choice


def _upload(item: Item) -> dict[str, Any]:
    return {
        "folderId": _digest(item.id, "upload folder")[:33],
        "types": ["PDF", "IMAGE"],
        "maxFiles": 2,
        "maxFileSize": "10485760",
    }


def _grading() -> dict[str, Any]:
    return {
        "pointValue": 2,
        "correctAnswers": {"answers": [{"value": _COLOURS[0]}]},
        "whenRight": {"text": "Right"},
        "whenWrong": {
            "text": HOSTILE[0],
            "material": [{"link": {"uri": "https://example.org/", "displayText": "Read"}}],
        },
    }


def _answers(item: Item, number: int) -> dict[str, Any]:
    """Answers keyed by question; every third respondent skips what is not required."""
    colour = _COLOURS[number % len(_COLOURS)]
    texts: dict[str, tuple[str, ...]] = {"radio": (_COLOURS[number % 2],)}
    if number % 3 != 2:
        texts |= {
            "short": (HOSTILE[number % len(HOSTILE)].splitlines()[0],),
            "long": (HOSTILE[(number + 3) % len(HOSTILE)],),
            "boxes": _COLOURS[: number % len(_COLOURS) + 1],
            "drop": (colour,),
            "scale": (str(number % 5 + 1),),
            "date": ("2026-05-19 14:51",),
            "time": ("36:15",),
            "rating": ("4",),
            **{f"RADIO {row}": (colour,) for row in _ROWS},
            **{f"CHECKBOX {row}": (colour, _COLOURS[0]) for row in _ROWS},
        }
    answers = {_id(item, key): _text_answer(item, key, values) for key, values in texts.items()}
    if number % 3 == 0:
        answers[_id(item, "file")] = _file_answer(item, number)
    return answers


def _text_answer(item: Item, key: str, values: tuple[str, ...]) -> dict[str, Any]:
    answer: dict[str, Any] = {
        "questionId": _id(item, key),
        "textAnswers": {"answers": [{"value": value} for value in values]},
    }
    if key == "radio" and is_quiz(item):
        correct = values == (_COLOURS[0],)
        answer["grade"] = (
            {"score": 2.0, "correct": True} if correct else {"feedback": {"text": "No"}}
        )
    return answer


def _file_answer(item: Item, number: int) -> dict[str, Any]:
    upload = {
        "fileId": _digest(item.id, f"upload {number}")[:33],
        "fileName": f"{HOSTILE[5]} - respondent{number}.pdf",
        "mimeType": "application/pdf",
    }
    return {"questionId": _id(item, "file"), "fileUploadAnswers": {"answers": [upload]}}


def _id(item: Item, key: str) -> str:
    return _digest(item.id, key)[:8]


def _digest(item_id: str, key: str) -> str:
    return hashlib.sha256(f"{item_id}/{key}".encode()).hexdigest()
