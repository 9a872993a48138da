#include "http/local.h"

#include "http/router.h"

namespace weir::http {

Response handle(Engine& engine, Accounts& accounts, Request request) {
  request.local = true;
  const Router router(engine, accounts);
  Response response = router.answer(request);
  if (std::holds_alternative<EventStream>(response.body)) return router.refuse(400, "invalid", "events come from a server: weir serve");
  return response;
}

}  // namespace weir::http
