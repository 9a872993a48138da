// A request answered in this process, as the operator: what a command does when no server runs on its DIR. The same routes, the same checks.
#pragma once

#include "engine/accounts.h"
#include "engine/engine.h"
#include "http/request.h"

namespace weir::http {

// The body of a request and of its answer as over the socket. /events is refused.
Response handle(Engine& engine, Accounts& accounts, Request request);

}  // namespace weir::http
