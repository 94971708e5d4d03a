"""
The sentences of the provider's two pages that a program can fail, by their first words, and the tests that hold them.

Headings, links to other pages, and advice to people are left out.
"""

from __future__ import annotations

import ast
from functools import cache
from pathlib import Path

import pytest

HERE = Path(__file__).parent

AUTHORIZATION = "test_authorization.py::"
CLIENT = "test_client.py::"
DISCOVERY = "test_discovery.py::"
RECIPES = "test_recipes.py::"
APPS = "recipes/test_apps.py::"
REGISTRATION = "test_registration.py::"

BASIC = f"{CLIENT}test_the_pages_sample_request_is_sent_as_printed"
DENIED = f"{APPS}test_a_user_denies"
EXCHANGED = f"{CLIENT}test_a_code_is_exchanged_for_a_token"
FORMS = f"{AUTHORIZATION}test_every_form_of_a_response_is_read"
NEW_ID = f"{REGISTRATION}test_a_client_id_is_a_prefix_and_thirty_random_characters"
PARAMETERS = f"{AUTHORIZATION}test_the_request_has_the_four_required_parameters"
POSTED = f"{CLIENT}test_the_client_may_authenticate_by_post_fields"
QUIET = f"{CLIENT}test_no_log_and_no_error_tells_a_secret"
REFRESHED = f"{APPS}test_tokens_are_refreshed_and_saved"
REGISTERED = f"{REGISTRATION}test_registering_a_client"
ROWS = f"{AUTHORIZATION}test_each_row_of_the_pages_table_tells_the_action_required"
SCOPES = f"{AUTHORIZATION}test_any_scope_can_be_asked_for"
SIGNED = "clients/test_signing.py::test_requests_to_an_own_origin_are_signed"
STORED = f"{APPS}test_workers_share_their_tokens"
UNKNOWN_ERRORS = f"{AUTHORIZATION}test_errors_that_the_page_does_not_know"
WHOLE = f"{CLIENT}test_from_the_link_to_the_first_request"

# "OAuth for 3rd Party Integrations"
THIRD_PARTY = {
    "The following page details the technical flow of": [WHOLE, f"{APPS}test_a_user_connects_a_store"],
    "Check out the Creating an OAuth Client page": [REGISTERED],
    "Within your application you can include a link or form": [f"{APPS}test_a_user_connects_a_store"],
    "Your application should forward users to the following URL": [
        f"{AUTHORIZATION}test_users_are_forwarded_to_the_environments_endpoint"
    ],
    "The following values should be passed as GET parameters": [PARAMETERS],
    "scope - (required) permissions you require": [f"{AUTHORIZATION}test_a_request_without_a_scope_is_refused_at_once"],
    "This can be either store_full_access": [SCOPES, WHOLE],
    "state - (required) a unique randomly generated string": [
        f"{AUTHORIZATION}test_each_request_has_an_unpredictable_state"
    ],
    "This is used to assist with preventing cross-site request forgery": [f"{APPS}test_a_forged_callback"],
    "If the user approves the request to access their store": [WHOLE],
    "The endpoint will be passed two GET parameters": [FORMS, WHOLE],
    "If the state value received does not match": [
        f"{AUTHORIZATION}test_another_state_aborts_before_anything_else",
        f"{AUTHORIZATION}test_the_state_is_compared_in_constant_time",
        f"{CLIENT}test_a_wrong_response_makes_no_request",
    ],
    "The code is only valid for 30 seconds, and can only be used once": [
        f"{CLIENT}test_a_code_lives_thirty_seconds",
        f"{CLIENT}test_a_replayed_response_is_refused",
        f"{APPS}test_a_replayed_callback",
    ],
    "If the user denied the request, or if there was some other error": [
        f"{CLIENT}test_the_user_presses_deny",
        f"{AUTHORIZATION}test_every_form_brings_errors",
        DENIED,
    ],
    "If available, an additional error_description": [ROWS, UNKNOWN_ERRORS],
    "Your application should handle an error response": [UNKNOWN_ERRORS, f"{APPS}test_broken_callbacks"],
    "Error Message Action Required": [
        ROWS,
        f"{AUTHORIZATION}test_the_row_about_the_missing_state_comes_without_a_state",
        DENIED,
    ],
    "After receiving a success response": [EXCHANGED, f"{APPS}test_a_user_connects_a_store"],
    "To do that, you POST to the Hypermedia API's fx:token endpoint": [
        EXCHANGED,
        f"{DISCOVERY}test_the_token_endpoint_is_found_on_the_api_home",
        f"{DISCOVERY}test_a_link_within_the_origins_is_followed",
    ],
    'curl -H "FOXY-API-VERSION: 1" https://api.foxycart.com': [
        f"{DISCOVERY}test_discovery_is_anonymous_and_names_the_version"
    ],
    '"href": "https://api.foxycart.com/token"': [
        "test_environment.py::test_presets_are_the_providers_addresses",
        f"{CLIENT}test_in_production_the_code_goes_to_the_token_endpoint_of_the_page",
    ],
    "Post www-form-url-encoded data as follows": [
        f"{CLIENT}test_a_token_is_refreshed_by_hand",
        "test_messages.py::test_the_secret_can_go_into_the_form",
    ],
    "The following values need to be POSTed": [EXCHANGED, f"{CLIENT}test_an_awkward_code_arrives_as_it_was"],
    "redirect_uri - (required) must match the original URI": [
        f"{CLIENT}test_without_a_redirect_uri_there_is_no_exchange",
        f"{CLIENT}test_another_redirect_uri_is_refused",
    ],
    "The call also needs to be authenticated": [f"{CLIENT}test_a_wrong_secret_is_a_matter_of_configuration"],
    "If possible, passing those details as a header using HTTP Basic": [EXCHANGED],
    "To create the header value, base64 encode": [
        BASIC,
        "test_messages.py::test_the_header_is_the_providers_sample_letter_by_letter",
    ],
    "If HTTP Basic Authentication is not possible": [POSTED],
    "If successful, in response your application will receive": [EXCHANGED],
    "The access_token and refresh_token should be securely stored": [STORED, QUIET],
    "The access_token_expires value notes in seconds": [
        f"{CLIENT}test_the_expiry_is_read_under_both_of_its_names",
        "test_messages.py::test_reads_the_lifetime",
    ],
    '"scope":"store_full_access store_id_3200"': [BASIC, "test_token.py::test_tells_scopes_and_store"],
    "Requests to the API need to include the access_token": [SIGNED],
    "Authorization: Bearer 76e9": [f"{CLIENT}test_the_pages_sample_token_signs_as_printed"],
    "As the Access Token expires after 2 hours": [f"{CLIENT}test_a_token_is_refreshed_by_hand", REFRESHED],
}

# "Common OAuth Terms"
TERMS = {
    "This allows a user to grant your integration access": [WHOLE],
    "The Client will store identifying information": [REGISTERED],
    "If your integration is hosted centrally": [
        f"{RECIPES}test_hosted",
        f"{APPS}test_users_have_stores_of_their_own",
    ],
    "If your integration is individually installed": [f"{RECIPES}test_distributed"],
    "The Client ID acts as the static unique identifier": [
        f"{REGISTRATION}test_an_id_of_ones_own",
        f"{REGISTRATION}test_a_taken_id",
    ],
    "Once an OAuth Client is created, the Client ID": [f"{CLIENT}test_a_clients_id_and_secret_cannot_be_changed"],
    "If your integration will be distributed": [f"{RECIPES}test_distributed", NEW_ID],
    "To ensure the ID's are still unqiue": [NEW_ID],
    "The Client Secret is automatically generated": [
        f"{REGISTRATION}test_an_id_of_ones_own",
        f"{CLIENT}test_a_clients_id_and_secret_cannot_be_changed",
    ],
    "It should be encrypted and stored securely": [QUIET, f"{CLIENT}test_no_repr_shows_a_secret"],
    "The Access Token is included in requests": [SIGNED],
    "Think of it like the session ID": [
        QUIET,
        "clients/test_signing.py::test_requests_to_a_foreign_origin_are_not_signed",
    ],
    "They are valid for 2 hours": [EXCHANGED, REFRESHED],
    "An Access Token has a specific scope": ["test_token.py::test_tells_scopes_and_store", WHOLE],
    "The Refresh Token is valid for 10 years": [
        "emulator/test_token_endpoint.py::test_refresh_token_life",
        f"{CLIENT}test_a_token_is_refreshed_by_hand",
    ],
    "The Refresh Token should be securely stored": [STORED, QUIET],
    "There are currently three different scopes": [SCOPES],
    "client_full_access: Allows interaction": [
        f"{CLIENT}test_a_client_gets_a_token_for_itself",
        f"{REGISTRATION}test_creating_a_user",
        f"{REGISTRATION}test_only_a_client_creates_users",
    ],
    "user_full_access: Connected to a single user": [f"{REGISTRATION}test_creating_a_store", WHOLE],
    "store_full_access: Connected to a Foxy store": [f"{REGISTRATION}test_creating_an_integration", WHOLE],
    "Users have a many-to-many relationship": [
        f"{REGISTRATION}test_users_and_stores_are_many_to_many",
        f"{APPS}test_users_have_stores_of_their_own",
    ],
    "Users will login with their Foxy credentials": ["emulator/test_authorize.py::test_sign_in"],
    "Foxy-Specific OAuth Terms": [f"{RECIPES}test_every_kind_has_a_recipe"],
    "A Standalone Integration is one where": [f"{RECIPES}test_standalone"],
    "A 3rd Party Integration exists alongside Foxy": [f"{RECIPES}test_third_party"],
    "A White-Labeled Integration obscures Foxy": [f"{RECIPES}test_white_labelled"],
    "This type of integration would utilise the API": [
        f"{REGISTRATION}test_every_token_refreshes_by_itself",
        f"{REGISTRATION}test_a_killed_run_has_kept_its_tokens",
    ],
}


@cache
def names_in(file: str) -> set[str]:
    """Return the names of the tests in *file*."""
    tree = ast.parse((HERE / file).read_text(encoding="utf-8"))
    functions = ast.FunctionDef, ast.AsyncFunctionDef
    return {node.name for node in tree.body if isinstance(node, functions) and node.name.startswith("test_")}


@pytest.mark.parametrize("page", [THIRD_PARTY, TERMS], ids=["3rd party", "terms"])
def test_every_sentence_has_a_test(page: dict[str, list[str]]) -> None:
    """3P, TERM: the tests that hold the sentences of the pages exist."""
    named = {test for tests in page.values() for test in tests}
    missing = sorted(test for test in named if test.partition("::")[2] not in names_in(test.partition("::")[0]))

    assert missing == []
    assert all(page.values())
