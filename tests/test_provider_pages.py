"""
Every sentence of the provider's two pages, by its first words: the tests that hold us to it, or why there is none.

A reason stands in parentheses.
"""

from __future__ import annotations

import ast
from functools import cache
from pathlib import Path

import pytest

HERE = Path(__file__).parent
HEADING = "(a heading)"
ELSEWHERE = "(leads to another page)"
THEIRS = "(what the provider does; ours to use)"
ADVICE = "(advice to whoever integrates, beyond what a library can do)"

AUTHORIZATION = "test_authorization.py::"
CLIENT = "test_client.py::"
RECIPES = "test_recipes.py::"
REGISTRATION = "test_registration.py::"

BASIC = f"{CLIENT}test_the_pages_sample_call_goes_over_the_wire_as_printed"
DENIED = f"{RECIPES}test_a_user_denies"
EXCHANGED = f"{CLIENT}test_a_code_is_exchanged_for_a_token"
FOLLOWED = "test_discovery.py::test_a_link_within_the_origins_is_followed"
FOUND = "test_discovery.py::test_the_token_endpoint_is_found_on_the_api_home"
NEW_ID = f"{REGISTRATION}test_a_client_id_is_a_prefix_and_thirty_random_characters"
PARAMETERS = f"{AUTHORIZATION}test_the_request_has_the_four_required_parameters_and_no_other"
POSTED = f"{CLIENT}test_the_client_may_authenticate_by_post_fields"
QUIET = f"{CLIENT}test_no_log_and_no_error_tells_a_secret"
REGISTERED = f"{REGISTRATION}test_registering_a_client"
ROWS = f"{AUTHORIZATION}test_each_row_of_the_pages_table_tells_the_action_required"
SHAPES = f"{AUTHORIZATION}test_every_shape_of_an_answer_is_read"
STORED = f"{RECIPES}test_tokens_outlive_the_application"
WHOLE = f"{CLIENT}test_from_the_link_to_the_first_call"

# "OAuth for 3rd Party Integrations"
THIRD_PARTY = {
    "OAuth for 3rd Party Integrations": [HEADING],
    "The following page details the technical flow of": [WHOLE, f"{RECIPES}test_a_user_connects_a_store"],
    "For details on approaching this for a whitelabeled": [ELSEWHERE, f"{RECIPES}test_white_labelled"],
    "Register your OAuth Client": [HEADING],
    "Check out the Creating an OAuth Client page": [ELSEWHERE, REGISTERED],
    "Forward the User to the Foxy Authorization Server": [HEADING],
    "To allow your application to access a Foxy user or store": [WHOLE],
    "Within your application you can include a link or form": [f"{RECIPES}test_a_user_connects_a_store"],
    "Your application should forward users to the following URL": [
        f"{AUTHORIZATION}test_users_are_forwarded_to_the_environments_endpoint"
    ],
    "The following values should be passed as GET parameters": [PARAMETERS],
    "• response_type - (required)": [PARAMETERS],
    "• client_id - (required) as returned": [PARAMETERS],
    "• scope - (required)": [
        PARAMETERS,
        f"{AUTHORIZATION}test_a_request_without_a_scope_is_refused_at_once",
    ],
    "This can be either store_full_access": [f"{AUTHORIZATION}test_any_scope_can_be_asked_for", WHOLE],
    "• state - (required) a unique randomly generated": [
        f"{AUTHORIZATION}test_each_request_has_a_state_of_its_own",
        f"{AUTHORIZATION}test_the_state_comes_from_the_systems_randomness",
    ],
    "This is used to assist with preventing cross-site": [f"{RECIPES}test_a_forged_callback"],
    "Handling the Foxy Authorization Server response": [HEADING],
    "If the user approves the request to access their store": [WHOLE],
    "The endpoint will be passed two GET parameters": [SHAPES, WHOLE],
    "If the state value received does not match": [
        f"{AUTHORIZATION}test_another_state_aborts_before_anything_else",
        f"{AUTHORIZATION}test_the_state_is_compared_in_constant_time",
        f"{CLIENT}test_a_refused_answer_makes_no_call",
    ],
    "The initial authorization response includes a code": [SHAPES],
    "As that isn": [EXCHANGED],
    "The code is only valid for 30 seconds": [
        f"{CLIENT}test_a_code_lives_thirty_seconds",
        f"{CLIENT}test_a_replayed_answer_is_refused",
        f"{RECIPES}test_a_replayed_callback",
    ],
    "Error responses": [HEADING],
    "If the user denied the request, or if there was": [f"{CLIENT}test_the_user_presses_deny", DENIED],
    "If available, an additional error_description": [
        ROWS,
        f"{AUTHORIZATION}test_errors_that_the_page_does_not_know",
    ],
    "Your application should handle an error response": [
        f"{AUTHORIZATION}test_errors_that_the_page_does_not_know",
        f"{RECIPES}test_broken_callbacks",
    ],
    "Possible error responses": [HEADING],
    "Error Message Action Required": [HEADING],
    "access_denied The user denied access": [ROWS, DENIED],
    "invalid_client No client id supplied": [ROWS],
    "invalid_client The client id supplied is invalid": [ROWS],
    "invalid_client This application requires": [ROWS],
    "invalid_request Invalid or missing response type": [ROWS],
    "invalid_request The state parameter is required": [
        ROWS,
        f"{AUTHORIZATION}test_the_row_about_the_missing_state_comes_without_a_state",
    ],
    "invalid_scope An unsupported scope was requested": [ROWS],
    "Request Access Tokens": [HEADING],
    "After receiving a success response": [EXCHANGED, f"{RECIPES}test_a_user_connects_a_store"],
    "To do that, you POST to the Hypermedia API": [EXCHANGED, FOUND, FOLLOWED],
    '➔ curl -H "FOXY-API-VERSION: 1" https://api.foxycart.com': [
        "test_discovery.py::test_discovery_is_anonymous_and_names_the_version"
    ],
    '"_links": {': [FOUND, FOLLOWED],
    '"fx:token": {': [FOUND, FOLLOWED],
    '"href": "https://api.foxycart.com/token"': [
        "test_discovery.py::test_presets_are_the_provider_s_addresses",
        f"{CLIENT}test_in_production_the_code_goes_to_the_token_endpoint_of_the_page",
    ],
    '"title": "The OAuth endpoint': [f"{CLIENT}test_a_token_is_refreshed_by_hand"],
    "Post www-form-url-encoded data as follows": [
        f"{CLIENT}test_a_token_is_refreshed_by_hand",
        "test_protocol.py::test_the_secret_can_go_into_the_form",
    ],
    '"type": "application/json"': [EXCHANGED],
    "The following values need to be POSTed": [EXCHANGED],
    "• grant_type - (required)": [EXCHANGED],
    "• code - (required)": [EXCHANGED, f"{CLIENT}test_an_awkward_code_arrives_as_it_was"],
    "• redirect_uri - (required)": [
        EXCHANGED,
        f"{CLIENT}test_without_a_redirect_uri_there_is_no_exchange",
        f"{CLIENT}test_another_redirect_uri_is_refused",
    ],
    "The call also needs to be authenticated": [EXCHANGED, f"{CLIENT}test_a_wrong_secret_is_a_matter_of_configuration"],
    "If possible, passing those details as a header": [EXCHANGED],
    "To create the header value, base64 encode": [BASIC],
    "$basic_auth_header = base64_encode(": [BASIC],
    "You then pass the encoded value as a header": [BASIC],
    "Authorization: Basic Y2xpZW50X045": [BASIC],
    "If HTTP Basic Authentication is not possible": [POSTED],
    "• client_id - as returned": [POSTED],
    "• client_secret - as returned": [POSTED],
    "If successful, in response your application will receive": [EXCHANGED],
    "The access_token and refresh_token should be securely": [STORED, QUIET],
    "The access_token_expires value notes in seconds": [
        f"{CLIENT}test_the_expiry_is_read_under_both_of_its_names",
        "test_protocol.py::test_reads_the_lifetime",
    ],
    '➔ curl -H "FOXY-API-VERSION: 1" -H "Authorization': [BASIC, EXCHANGED],
    '"scope":"store_full_access store_id_3200"': [BASIC],
    "Authenticating API Calls": [HEADING],
    "With the Access token in hand": [WHOLE],
    "Requests to the API need to include the access_token": [
        "clients/test_contract.py::test_requests_to_an_own_origin_are_signed"
    ],
    "Authorization: Bearer 76e9": [f"{CLIENT}test_the_pages_sample_token_signs_as_printed"],
    "For more details on working with the API": [ELSEWHERE],
    "Refreshing the Access Token": [HEADING],
    "As the Access Token expires after 2 hours": [
        f"{CLIENT}test_a_token_is_refreshed_by_hand",
        f"{RECIPES}test_tokens_are_refreshed_and_kept",
    ],
    "Review the Refreshing the Access Token page": [ELSEWHERE],
}

# "Common OAuth Terms"
TERMS = {
    "Common OAuth Terms": [HEADING],
    "Just to ensure we": [HEADING],
    "OAuth Client": [HEADING],
    "The OAuth Client acts as an intermediary": [WHOLE],
    "This allows a user to grant your integration access": [WHOLE],
    "The Client will store identifying information": [REGISTERED],
    "If your integration is hosted centrally": [
        f"{RECIPES}test_hosted",
        f"{RECIPES}test_users_have_stores_of_their_own",
    ],
    "If your integration is individually installed": [f"{RECIPES}test_distributed"],
    "Client ID": [HEADING],
    "The Client ID acts as the static unique identifier": [
        f"{REGISTRATION}test_an_id_of_ones_own",
        f"{REGISTRATION}test_a_taken_id",
    ],
    "It should be securely stored within your integration": [
        f"{CLIENT}test_a_clients_id_and_secret_cannot_be_changed",
        f"{CLIENT}test_a_client_shows_what_it_was_given",
    ],
    "Once an OAuth Client is created, the Client ID": [f"{CLIENT}test_a_clients_id_and_secret_cannot_be_changed"],
    "If your integration will be distributed": [f"{RECIPES}test_distributed", NEW_ID],
    "To ensure the ID's are still unqiue": [NEW_ID, f"{REGISTRATION}test_client_ids_are_unique"],
    "For example, that could look like this in PHP": [NEW_ID],
    "$characters = ": [f"{REGISTRATION}test_client_ids_use_every_character_of_the_page"],
    "$postfix = ''": [NEW_ID],
    "for ($i = 0; $i < 30; $i++) {": [NEW_ID],
    "$postfix .= $characters[rand(": [
        "(we take a generator that cannot be foretold instead of rand)",
        f"{REGISTRATION}test_client_ids_are_unique",
    ],
    '$client_id = "widgetsco" . $postfix': [NEW_ID],
    "Client Secret": [HEADING],
    "The Client Secret is automatically generated": [
        f"{REGISTRATION}test_an_id_of_ones_own",
        f"{CLIENT}test_a_clients_id_and_secret_cannot_be_changed",
    ],
    "It should be encrypted and stored securely": [ADVICE, QUIET, f"{CLIENT}test_no_repr_shows_a_secret"],
    "Think of it like the master password": [QUIET],
    "If the Client Secret is ever compromised": [ADVICE],
    "Access Token": [HEADING],
    "The Access Token is included in requests": ["clients/test_contract.py::test_requests_to_an_own_origin_are_signed"],
    "Think of it like the session ID": [
        QUIET,
        "clients/test_contract.py::test_requests_to_a_foreign_origin_are_not_signed",
    ],
    "They are valid for 2 hours": [EXCHANGED, f"{RECIPES}test_tokens_are_refreshed_and_kept"],
    "An Access Token has a specific scope": ["test_token.py::test_tells_scopes_and_store", WHOLE],
    "Refresh Token": [HEADING],
    "The Refresh Token is valid for 10 years": [
        "emulator/test_token_endpoint.py::test_refresh_token_life",
        f"{CLIENT}test_a_token_is_refreshed_by_hand",
    ],
    "The Refresh Token should be securely stored": [STORED, QUIET],
    "A value which sets what portions of the API": ["test_token.py::test_tells_scopes_and_store"],
    "There are currently three different scopes": [
        f"{AUTHORIZATION}test_the_scopes_are_named_as_the_provider_names_them"
    ],
    "client_full_access: Allows interaction": [
        f"{CLIENT}test_a_client_gets_a_token_for_itself",
        f"{REGISTRATION}test_creating_a_user",
        f"{REGISTRATION}test_only_a_client_creates_users",
    ],
    "This is the initial scope given when creating a client": [REGISTERED],
    "user_full_access: Connected to a single user": [f"{REGISTRATION}test_creating_a_store", WHOLE],
    "store_full_access: Connected to a Foxy store": [f"{REGISTRATION}test_creating_an_integration", WHOLE],
    "Foxy User": [HEADING],
    "A Foxy user is someone who manages": [f"{REGISTRATION}test_creating_a_user"],
    "This could be an owner of the store": [f"{REGISTRATION}test_creating_a_user"],
    "Users have a many-to-many relationship": [
        f"{REGISTRATION}test_users_and_stores_are_many_to_many",
        f"{RECIPES}test_users_have_stores_of_their_own",
    ],
    "Foxy Store": [HEADING],
    "A Foxy Store is your home": [THEIRS],
    "One store will be used per organization": [THEIRS],
    "Authorization Server": [HEADING],
    "This is an endpoint on the Foxy servers": [
        f"{AUTHORIZATION}test_users_are_forwarded_to_the_environments_endpoint"
    ],
    "At the endpoint the user grants access": [WHOLE],
    "Users will login with their Foxy credentials": [THEIRS, "emulator/test_authorization.py::test_signing_in"],
    "Foxy-Specific OAuth Terms": [f"{RECIPES}test_every_kind_has_a_recipe"],
    "Standalone Integration": [HEADING],
    "A Standalone Integration is one where": [f"{RECIPES}test_standalone"],
    "The integration may be open-sourced": [
        "(credentials are arguments or environment variables, so that source code holds none)",
        f"{RECIPES}test_standalone",
    ],
    "3rd Party Integration": [HEADING],
    "A 3rd Party Integration exists alongside Foxy": [
        f"{RECIPES}test_third_party",
        f"{RECIPES}test_a_user_connects_a_store",
    ],
    "White-Labeled Integration": [HEADING],
    "A White-Labeled Integration obscures Foxy": [f"{RECIPES}test_white_labelled"],
    "This type of integration would utilise the API": [
        f"{RECIPES}test_white_labelled",
        f"{REGISTRATION}test_every_token_refreshes_by_itself",
        f"{REGISTRATION}test_a_killed_run_has_kept_what_it_had",
    ],
    "Hosted Integration": [HEADING],
    "A Hosted Integration could be": [f"{RECIPES}test_hosted", f"{RECIPES}test_users_have_stores_of_their_own"],
    "Distributed Integration": [HEADING],
    "A Distributed Integration could be": [f"{RECIPES}test_distributed"],
}


@cache
def names_in(file: str) -> set[str]:
    """Return the names of the tests in a file."""
    tree = ast.parse((HERE / file).read_text(encoding="utf-8"))
    functions = ast.FunctionDef, ast.AsyncFunctionDef
    return {node.name for node in tree.body if isinstance(node, functions) and node.name.startswith("test_")}


@pytest.mark.parametrize("page", [THIRD_PARTY, TERMS], ids=["3rd party", "terms"])
def test_every_sentence_has_a_test_or_a_reason(page: dict[str, list[str]]) -> None:
    """Every sentence of the two pages names tests that exist, or tells why there are none."""
    reasons = [sentence for sentence, what in page.items() if all(one.startswith("(") for one in what)]
    named = {one for what in page.values() for one in what if not one.startswith("(")}
    missing = sorted(one for one in named if one.partition("::")[2] not in names_in(one.partition("::")[0]))

    assert missing == []
    assert all(page.values())
    assert len(reasons) < len(page) / 2
