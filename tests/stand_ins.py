"""Small stand-ins for public data sets: invented content under the real column names."""

from __future__ import annotations

import json


def _utterance(turn, place, prompt, answer, score, chosen, *, conversation="c1", user="user0"):
    return {
        "utterance_id": f"ut{turn}{place}",
        "interaction_id": f"int{turn}",
        "conversation_id": conversation,
        "user_id": user,
        "turn": turn,
        "within_turn_id": place,
        "conversation_type": "values guided",
        "user_prompt": prompt,
        "model_response": answer,
        "model_name": f"model-{place}",
        "model_provider": "somebody",
        "score": score,
        "if_chosen": chosen,
        "included_in_balanced_subset": True,
    }


PRISM_UTTERANCES = [
    _utterance(0, 0, "Is tea good?", "Yes.", 80, True),
    _utterance(0, 1, "Is tea good?", "No.", 10, False),
    _utterance(0, 2, "Is tea good?", "Perhaps.", 45, False),
    _utterance(0, 3, "Is tea good?", "I cannot say.", 45, False),
    _utterance(1, 0, "Why?", "It warms.", 20, False),
    _utterance(1, 1, "Why?", "It wakes.", 70, True),
    _utterance(0, 0, "Hello", "Hi!", 50, True, conversation="c2", user="user1"),
]


def _message(turn, role, content, place=None, score=None, chosen=None):
    return {
        "turn": turn,
        "role": role,
        "content": content,
        "within_turn_id": place,
        "if_chosen": chosen,
        "model_name": None if place is None else f"model-{place}",
        "model_provider": None,
        "score": score,
    }


PRISM_CONVERSATIONS = [
    {
        "conversation_id": "c1",
        "user_id": "user0",
        "conversation_type": "values guided",
        "opening_prompt": "Is tea good?",
        "conversation_turns": 2,
        "conversation_history": [
            _message(0, "user", "Is tea good?"),
            _message(0, "model", "Yes.", 0, 80, True),
            _message(0, "model", "No.", 1, 10, False),
            _message(0, "model", "Perhaps.", 2, 45, False),
            _message(0, "model", "I cannot say.", 3, 45, False),
            _message(1, "user", "Why?"),
            _message(1, "model", "It warms.", 0, 20, False),
            _message(1, "model", "It wakes.", 1, 70, True),
        ],
        "performance_attributes": {"values": 50},
        "choice_attributes": {"values": 50},
        "open_feedback": "fine",
        "generated_datetime": "2023-11-22",
        "timing_duration_s": 300.0,
    },
    {
        "conversation_id": "c2",
        "user_id": "user1",
        "conversation_turns": 1,
        "conversation_history": [
            _message(0, "user", "Hello"),
            _message(0, "model", "Hi!", 0, 50, True),
        ],
    },
]

PRISM_SURVEY = [
    {
        "user_id": "user0",
        "survey_only": False,
        "num_completed_conversations": 6,
        "lm_familiarity": "Somewhat familiar",
        "self_description": "I like tea.",
        "age": "25-34 years old",
        "gender": "Female",
        "employment_status": "Working full-time",
        "education": "University Bachelors Degree",
        "marital_status": "Never been married",
        "english_proficiency": "Fluent",
        "study_locale": "us",
        "religion": {"self_described": "none", "categorised": "No affiliation", "simplified": "No"},
        "ethnicity": {"self_described": "mixed", "categorised": "Mixed", "simplified": "Mixed"},
        "location": {"birth_country": "A", "birth_region": "Europe", "reside_region": "Americas"},
    },
    {"user_id": "user1", "age": "55-64 years old", "location": None},
]


def _assessment(person, personal=None, world=None):
    def block(order):
        return [] if order is None else [{"ranking": order, "rationale": "because"}]

    return {
        "conversation_id": "p1",
        "annotator_id": person,
        "importance": "Very important",
        "representativeness": "Not at all likely",
        "subjectivity": "Value-dependent",
        "ranking_blocks": {
            "personal": block(personal),
            "world": block(world),
            "unacceptable": [{"rating": ["D is unacceptable"], "rationale": ""}],
        },
    }


COVAL_COMPARISONS = [
    {
        "prompt_id": "p1",
        "prompt": {"id": "x", "messages": [{"role": "user", "content": "May I lie?"}]},
        "responses": [
            {"response_index": letter, "messages": [{"role": "assistant", "content": text}]}
            for letter, text in zip("ABCD", ["Never.", "At times.", "Ask.", "Do."], strict=True)
        ],
        "metadata": {
            "assessments": [
                _assessment("ann", "A>B>C=D", "B>A>C>D"),
                _assessment("bob", "D > A = C", None),
                _assessment("cem", None, "A>B=C>D"),
            ]
        },
    }
]

COVAL_ANNOTATORS = [
    {
        "annotator_id": "ann",
        "demographics": {
            "age": "25-34",
            "gender": "Woman",
            "education_level": "College",
            "country_of_residence": "Kenya",
            "generative_ai_usage": "Daily",
            "ai_concern_level": "Somewhat concerned",
            "ideal-model-behavior": "It should be kind and say what it does not know.",
        },
        "assessments": [],
    },
    {"annotator_id": "bob", "demographics": {"age": "35-44"}, "assessments": []},
]

COVAL_MERGED = [{"prompt_id": "p1", "annotator_id": "ann", "ranking_blocks": {}, "importance": ""}]


def community_row(person, first, second=None, **changes):
    """Return a conversation: (prompt, answers a to d, letter chosen) for one or two turns."""
    row = {
        "conversation_id": f"conv-{person}",
        "assigned_lang": "en",
        "annotator_id": person,
        "in_balanced_subset": True,
        "is_pregenerated_first_prompt": True,
        "annotator_age": "18-34",
        "annotator_gender": "female",
        "annotator_education_level": None,
        "annotator_political": "left",
        "annotator_ethnicity": None,
        "annotator_country": "india",
    }
    for name, turn in zip(
        ("first", "second", "third", "fourth"), (first, second, None, None), strict=True
    ):
        prompt, answers, letter = turn or (None, [None] * 4, None)
        row[f"{name}_turn_prompt"] = prompt
        row |= {f"{name}_turn_response_{c}": t for c, t in zip("abcd", answers, strict=True)}
        row[f"{name}_turn_preferred_response"] = letter and f"response_{letter}"
        row[f"{name}_turn_feedback"] = None
    return row | changes


COMMUNITY = [
    community_row(
        "p1",
        ("Dinner?", ["Rice<|end_of_text|>", "Soup", "Bread", "Nothing"], "b"),
        ("Which soup?", ["Leek", "Pea", "Bean", "Fish"], "d"),
    ),
    community_row("p2", ("Dinner?", ["Soup", "Rice", "Bread", "Nothing"], "b")),
    community_row("p3", ("Dinner?", ["Soup", "Rice", "Bread", "Nothing"], None)),
]

ARGILLA_1 = [
    {
        "prompt": "Name a tea.",
        "reply_1": "Assam",
        "reply_2": "Sencha",
        "reply_3": "Mint",
        "reply-ranking": [
            {
                "user_id": "u1",
                "value": {"rank": [2, 1, 2], "value": ["reply-1", "reply-2", "reply-3"]},
                "status": "submitted",
            },
            {"user_id": "u2", "value": {"rank": [], "value": []}, "status": "discarded"},
        ],
        "reply-ranking-suggestion": None,
        "reply-ranking-suggestion-metadata": None,
        "external_id": "rec-7",
        "metadata": "{}",
    }
]

ARGILLA_2 = [
    {
        "id": "0a",
        "status": "completed",
        "_server_id": "s1",
        "instruction": "Name a tea.",
        "response1": "Assam",
        "response2": "Sencha",
        "response3": "Mint",
        "ranking.responses": [["response3", "response1", "response2"], ["response1"]],
        "ranking.responses.users": ["u1", "u2"],
        "ranking.responses.status": ["submitted", "draft"],
    }
]

NECTAR = [
    {
        "prompt": "\n\nHuman: A tea? \n\nAssistant: Assam. \n\nHuman: Another? \n\nAssistant: ",
        "answers": [
            {"answer": "Mint", "model": "a", "rank": 3.0},
            {"answer": "Sencha", "model": "b", "rank": 1.0},
            {"answer": "Oolong", "model": "c", "rank": 2.0},
        ],
        "turns": 2,
        "num_responses": 3,
        "source": ["x"],
        "good_natured": True,
    }
]

ULTRAFEEDBACK = [
    {
        "source": "evol_instruct",
        "instruction": "Name a tea.",
        "models": ["a", "b", "c", "d"],
        "completions": [
            {
                "annotations": {"helpfulness": {"Rating": "4", "Rationale": ""}},
                "custom_system_prompt": "Be kind.",
                "model": model,
                "principle": "helpfulness",
                "response": text,
                "critique": "",
                "overall_score": score,
                "fine-grained_score": 4.0,
            }
            for model, text, score in zip(
                "abcd", ["Assam", "Sencha", "Mint", "Oolong"], [7.5, 9.0, 7.5, 2.0], strict=True
            )
        ],
        "correct_answers": [],
        "incorrect_answers": [],
    }
]


def _annotation(person, told):
    return {
        "evaluator": person,
        "overall_pref": told,
        "overall_confidence": "fairly-confident",
        "helpful_pref": "Tie",
        "truthful_pref": "Tie",
        "harmless_pref": "Tie",
        "time_spent": 100,
        "timestamp": 1,
    }


MULTIPREF = [
    {
        "comparison_id": "k1",
        "prompt_id": "q1",
        "text": "Name a tea.",
        "completion_a": "Assam",
        "model_a": "m",
        "completion_b": "Sencha",
        "model_b": "n",
        "source": "x",
        "category": "Brainstorm",
        "subject_study": "Not Applicable",
        "highest_level_degree": "None",
        "normal_worker_annotations": [
            _annotation("w1", "A-is-clearly-better"),
            _annotation("w2", "Tie"),
        ],
        "expert_worker_annotations": [_annotation("e1", "B-is-slightly-better")],
    }
]

HELPSTEER3 = [
    {
        "domain": "general",
        "language": "english",
        "context": [{"role": "user", "content": "Name a tea."}],
        "response1": "Assam",
        "response2": "Sencha",
        "overall_preference": -1,
        "individual_preference": [
            {"score": -2, "reasoning": "", "feedback1": "", "feedback2": ""},
            {"score": 1, "reasoning": "", "feedback1": "", "feedback2": ""},
        ],
    }
]

HELPSTEER2 = [
    {
        "split": "train",
        "prompt": "Name a tea.",
        "response_1": "Assam",
        "response_2": "Sencha",
        "preference_strength": 1,
        "preference_statement": "",
        "preference_elaboration": "",
        "three_most_similar_preferences": [],
        "all_preferences_unprocessed": [
            {"strength": 2, "justification": ""},
            {"strength": -100, "justification": ""},
            {"strength": 0, "justification": ""},
        ],
    }
]

HELPSTEER = [
    {
        "prompt": "Name a tea.",
        "response": text,
        "helpfulness": mark,
        "correctness": 4,
        "coherence": 4,
        "complexity": 1,
        "verbosity": 1,
    }
    for text, mark in (("Assam", 2), ("Sencha", 4), ("Mint", 2))
]


def _post(name, parent, role, text, rank=None, author="author", deleted=False):
    return {
        "message_id": name,
        "parent_id": parent,
        "user_id": author,
        "created_date": "2023-02-05",
        "text": text,
        "role": role,
        "lang": "en",
        "review_count": 3,
        "review_result": True,
        "deleted": deleted,
        "rank": rank,
        "synthetic": False,
        "model_name": None,
        "message_tree_id": "m0",
        "tree_state": "ready_for_export",
    }


OASST = [
    _post("m0", None, "prompter", "Name a tea."),
    _post("m1", "m0", "assistant", "Assam", 1.0),
    _post("m2", "m0", "assistant", "Sencha", 0.0),
    _post("m3", "m0", "assistant", "Mint", 2.0, deleted=True),
    _post("m4", "m2", "prompter", "Another?"),
    _post("m5", "m4", "assistant", "Oolong", 1.0),
    _post("m6", "m4", "assistant", "Chai", 0.0),
    _post("m7", "m1", "prompter", "Why?"),
    _post("m8", "m7", "assistant", "Because."),
]


def pair(user, prompt, chosen, rejected):
    """Return a preference of a named person."""
    return {"prompt": prompt, "chosen": chosen, "rejected": rejected, "user_id": user}


TRL = [
    pair("ann", "Tea?", "a", "b"),
    pair("ann", "Tea?", "b", "c"),
    pair("bob", "Tea?", "b", "a"),
]

PREFLIB_TOI = """# FILE NAME: 00001-00000001.toi
# TITLE: Best tea
# DATA TYPE: toi
# MODIFICATION TYPE: original
# NUMBER ALTERNATIVES: 3
# NUMBER VOTERS: 4
# NUMBER UNIQUE ORDERS: 3
# ALTERNATIVE NAME 1: Assam
# ALTERNATIVE NAME 2: Sencha
# ALTERNATIVE NAME 3: Mint: fresh
2: 2,{1,3}
1: {1,2}
1: 3
"""


def as_jsonl(rows):
    """Return rows as the text of a JSONL file."""
    return "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows)


def write_jsonl(path, rows):
    """Write rows, whatever folders it takes, and return the path."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(as_jsonl(rows), "utf-8")
    return path
