// The handlers that routes.cc names, by area, and what they share. A handler reads what it needs by name (nothing else of a body is looked at), calls
// the engine with the caller's UserId, and seals its answer.
#pragma once

#include "http/router.h"
#include "types/query.h"
#include "types/score.h"
#include "types/source.h"

namespace weir::http {

// JSON of our nouns. Addresses are without credentials.
json::object to_json(const Subscription& subscription);
json::object to_json(const User& user);
json::object to_json(const Token& token);
json::object to_json(const Score& score);
json::object to_json(const Engine& engine, const StoredItem& stored);

Response reply(const Call& call, const json::value& value, int status = 200);  // sealed for the reader whose things they are
Response done();                                                               // 204
Result<std::int64_t> number(const Query& query, std::string_view name, std::int64_t otherwise, std::int64_t lowest, std::int64_t highest);
Result<bool> yes(const Query& query, std::string_view name, bool otherwise);  // "1", "true", "yes", "" or "0", "false", "no"

// sources.cc
Result<Response> list_sources(Call& call);
Result<Response> add_source(Call& call);
Result<Response> get_source(Call& call);
Result<Response> edit_source(Call& call);
Result<Response> remove_source(Call& call);
Result<Response> push_items(Call& call);
Result<Response> source_icon(Call& call);
Result<Response> refresh_source(Call& call);
Result<Response> refresh_all(Call& call);
Result<Response> import_file(Call& call);
Result<Response> export_opml(Call& call);

// items.cc
Result<Response> list_items(Call& call);
Result<Response> get_item(Call& call);
Result<Response> why_item(Call& call);
Result<Response> patch_item(Call& call);
Result<Response> mark_read(Call& call);
Result<Response> post_signals(Call& call);

// people.cc
Result<Response> get_me(Call& call);
Result<Response> change_password(Call& call);
Result<Response> get_settings(Call& call);
Result<Response> put_settings(Call& call);
Result<Response> list_tokens(Call& call);
Result<Response> add_token(Call& call);
Result<Response> remove_token(Call& call);
Result<Response> list_users(Call& call);
Result<Response> add_user(Call& call);
Result<Response> remove_user(Call& call);
Result<Response> set_user_password(Call& call);
Result<Response> new_user_link(Call& call);
Result<Response> sign_in(Call& call);
Result<Response> sign_out(Call& call);

// pages.cc
Result<Response> home_page(Call& call);
Result<Response> login_page(Call& call);
Result<Response> login_form(Call& call);
Result<Response> logout_page(Call& call);
Result<Response> logout_form(Call& call);
Result<Response> asset(Call& call);
Result<Response> root_asset(Call& call);

// system.cc
Result<Response> events(Call& call);
Result<Response> metrics(Call& call);
Result<Response> healthz(Call& call);
Result<Response> flow(Call& call);
Result<Response> doctor(Call& call);
Result<Response> backup(Call& call);
Result<Response> openapi(Call& call);

json::object openapi_document();  // of the route table

}  // namespace weir::http
