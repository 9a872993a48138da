#include "cli/client.h"

#include <curl/curl.h>
#include <fcntl.h>
#include <fmt/format.h>
#include <unistd.h>

#include "http/local.h"
#include "store/store.h"

namespace weir::cli {
namespace {

Code code_of(int status, std::string_view name) {
  for (int i = 0; i <= static_cast<int>(Code::internal); ++i)
    if (to_string(static_cast<Code>(i)) == name) return static_cast<Code>(i);
  return status == 404                    ? Code::not_found
         : status == 401                  ? Code::unauthorised
         : status == 403                  ? Code::forbidden
         : status == 400 || status == 422 ? Code::invalid
                                          : Code::unavailable;
}

Result<std::string> judged(int status, std::string body) {
  if (status >= 200 && status <= 299) return body;
  if (const auto parsed = parse_json(body); parsed && parsed->is_object())
    if (const json::object* error = find_object(parsed->get_object(), "error"))
      return fail(code_of(status, find_string(*error, "code").value_or("")), std::string(find_string(*error, "message").value_or("failed")),
                  std::string(find_string(*error, "where").value_or("")), std::string(find_string(*error, "remedy").value_or("")));
  return fail(code_of(status, ""), fmt::format("the server answered {}", status));
}

std::size_t collect(char* data, std::size_t size, std::size_t n, void* out) {
  static_cast<std::string*>(out)->append(data, size * n);
  return size * n;
}

}  // namespace

struct Client::Parts {
  std::unique_ptr<Engine> engine;
  std::unique_ptr<Accounts> accounts;
  std::string socket, holder;
  int folder = -1;  // of a DIR whose name is too long for a socket's address
  ~Parts() {
    if (folder >= 0) ::close(folder);
  }
  std::unique_ptr<CURL, void (*)(CURL*)> curl{nullptr, curl_easy_cleanup};
};

Client::Client(std::unique_ptr<Parts> parts) : parts_(std::move(parts)) {}
Client::Client(Client&&) noexcept = default;
Client::~Client() = default;

Result<Client> Client::open(const Options& options, bool create) {
  auto parts = std::make_unique<Parts>();
  if (const auto holder = store::DirLock::holder(options.data)) {
    parts->holder = *holder;
    parts->socket = (options.data / "weir.sock").string();
    if (parts->socket.size() > 100 && (parts->folder = ::open(options.data.c_str(), O_PATH | O_DIRECTORY | O_CLOEXEC)) >= 0)
      parts->socket = fmt::format("/proc/self/fd/{}/weir.sock", parts->folder);
    curl_global_init(CURL_GLOBAL_DEFAULT);
    parts->curl.reset(curl_easy_init());
    if (!parts->curl) return fail(Code::internal, "libcurl does not start");
    return Client(std::move(parts));
  }
  parts->engine = TRY(Engine::open(
      {.data = options.data, .model = options.model, .model_name = options.model_name, .allow_net = options.allow_net, .poll = false, .create = create}));
  parts->accounts = std::make_unique<Accounts>(parts->engine->store(), parts->engine->clock());
  return Client(std::move(parts));
}

Result<std::string> Client::call(std::string_view method, std::string_view target, std::string_view body, std::string_view type) {
  if (parts_->engine) {
    http::Request request{
        .method = http::method_named(method), .target = std::string(target), .headers = {}, .body = std::string(body), .peer = {}, .local = true};
    if (!body.empty()) request.headers = {{"content-type", std::string(type)}, {"content-length", std::to_string(body.size())}};
    const http::Response response = http::handle(*parts_->engine, *parts_->accounts, std::move(request));
    return judged(response.status, std::string(response.bytes()));
  }
  CURL* curl = parts_->curl.get();
  const std::string url = "http://localhost" + std::string(target), verb(method);
  std::string answer;
  curl_easy_reset(curl);
  curl_easy_setopt(curl, CURLOPT_UNIX_SOCKET_PATH, parts_->socket.c_str());  // the only place that this handle can go
  curl_easy_setopt(curl, CURLOPT_URL, url.c_str());
  curl_easy_setopt(curl, CURLOPT_CUSTOMREQUEST, verb.c_str());
  curl_easy_setopt(curl, CURLOPT_PROXY, "");
  curl_easy_setopt(curl, CURLOPT_NOSIGNAL, 1L);
  curl_easy_setopt(curl, CURLOPT_WRITEFUNCTION, collect);
  curl_easy_setopt(curl, CURLOPT_WRITEDATA, &answer);
  std::unique_ptr<curl_slist, void (*)(curl_slist*)> headers(curl_slist_append(nullptr, ("Content-Type: " + std::string(type)).c_str()), curl_slist_free_all);
  if (!body.empty() || method == "POST" || method == "PUT" || method == "PATCH") {
    curl_easy_setopt(curl, CURLOPT_POSTFIELDS, body.data());
    curl_easy_setopt(curl, CURLOPT_POSTFIELDSIZE_LARGE, static_cast<curl_off_t>(body.size()));
    headers.reset(curl_slist_append(headers.release(), "Expect:"));
    curl_easy_setopt(curl, CURLOPT_HTTPHEADER, headers.get());
  }
  const CURLcode code = curl_easy_perform(curl);
  if (code != CURLE_OK)
    return fail(Code::unavailable, fmt::format("the server does not answer: {}", curl_easy_strerror(code)), parts_->socket, "is it stopping? try again");
  long status = 0;
  curl_easy_getinfo(curl, CURLINFO_RESPONSE_CODE, &status);
  return judged(static_cast<int>(status), std::move(answer));
}

Result<json::value> Client::ask(std::string_view method, std::string_view target, const json::value& body) {
  const std::string text = TRY(call(method, target, body.is_null() ? std::string() : json::serialize(body)));
  if (text.empty()) return json::value(nullptr);
  return parse_json(text, 128);
}

bool Client::remote() const { return parts_->engine == nullptr; }

std::string Client::address() const {
  const std::size_t at = parts_->holder.find("http");
  return at == std::string::npos ? std::string() : parts_->holder.substr(at);
}

Engine* Client::engine() { return parts_->engine.get(); }
Accounts* Client::accounts() { return parts_->accounts.get(); }

std::string percent_encoded(std::string_view text) {
  std::string out;
  for (const char c : text) {
    const auto b = static_cast<unsigned char>(c);
    if (std::isalnum(b) || c == '-' || c == '_' || c == '.' || c == '~') out += c;
    else out += fmt::format("%{:02X}", b);
  }
  return out;
}

}  // namespace weir::cli
