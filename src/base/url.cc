#include "base/url.h"

#include <lexbor/url/url.h>

#include <algorithm>
#include <array>

#include "base/text.h"

namespace weir {
namespace {

const lxb_char_t* bytes(std::string_view text) { return reinterpret_cast<const lxb_char_t*>(text.empty() ? "" : text.data()); }  // never null
std::string_view view(const lexbor_str_t& s) {
  return s.data == nullptr ? std::string_view() : std::string_view(reinterpret_cast<const char*>(s.data), s.length);
}

lxb_status_t append(const lxb_char_t* data, std::size_t n, void* out) {
  static_cast<std::string*>(out)->append(reinterpret_cast<const char*>(data), n);
  return LXB_STATUS_OK;
}

// What a thread needs to parse: lexbor's parser over an arena that is emptied before each URL, and the last base in an arena of its own.
class Parser {
 public:
  Parser() {
    scratch_.parser = lxb_url_parser_create();
    base_.parser = lxb_url_parser_create();
    CHECK(lxb_url_parser_init(scratch_.parser, nullptr) == LXB_STATUS_OK && lxb_url_parser_init(base_.parser, nullptr) == LXB_STATUS_OK);
  }
  Parser(const Parser&) = delete;
  Parser& operator=(const Parser&) = delete;
  ~Parser() {
    for (Side* side : {&scratch_, &base_}) {
      lxb_url_parser_memory_destroy(side->parser);
      lxb_url_parser_destroy(side->parser, true);
    }
  }

  // Lives until the next call. Null when text, or a base that is needed, does not parse.
  const lxb_url_t* parse(std::string_view text, std::string_view base) {
    if (text.size() > max_url || base.size() > max_url) return nullptr;
    const lxb_url_t* against = nullptr;
    if (!base.empty()) {
      if (base != base_text_ || !have_base_) {
        base_text_ = base;
        base_url_ = base_.parse(base, nullptr);
        have_base_ = true;
      }
      against = base_url_;
    }
    return scratch_.parse(text, against);
  }

 private:
  struct Side {
    lxb_url_parser_t* parser = nullptr;
    const lxb_url_t* parse(std::string_view text, const lxb_url_t* against) const {
      lxb_url_parser_clean(parser);
      lexbor_mraw_clean(parser->mraw);
      std::string repaired;
      if (!is_valid_utf8(text)) text = repaired = repair_utf8(text);
      lxb_url_t* const url = lxb_url_parse(parser, against, bytes(text), text.size());
      // lexbor leaves capitals in a percent-encoded host with empty labels ("mAb%2e%2e").
      if (url != nullptr && url->host.type == LXB_URL_HOST_TYPE_DOMAIN)
        for (std::size_t i = 0; i < url->host.u.domain.length; ++i)
          if (lxb_char_t& c = url->host.u.domain.data[i]; c >= 'A' && c <= 'Z') c = static_cast<lxb_char_t>(c + 32);
      return url;
    }
  };
  Side scratch_, base_;
  std::string base_text_;
  const lxb_url_t* base_url_ = nullptr;
  bool have_base_ = false;
};

Parser& parser() {
  thread_local Parser mine;
  return mine;
}

std::string serialise(const lxb_url_t* url) {
  std::string out;
  if (url != nullptr) lxb_url_serialize(url, append, &out, false);
  return out;
}

// Bytes that stay themselves in path, query and fragment of an http URL.
constexpr std::array<bool, 256> plain = [] {
  std::array<bool, 256> out{};
  for (int c = 'a'; c <= 'z'; ++c) out[static_cast<std::size_t>(c)] = out[static_cast<std::size_t>(c - 32)] = true;
  for (int c = '0'; c <= '9'; ++c) out[static_cast<std::size_t>(c)] = true;
  for (const char c : std::string_view("-_.~!$&()*+,;=:@/?#%")) out[static_cast<unsigned char>(c)] = true;
  return out;
}();

// True only for an http(s) URL that the standard's parser would give back byte for byte: most URLs in feeds. The fuzz target compares the two.
bool is_normal_http(std::string_view url) {
  std::size_t at = url.starts_with("https://") ? 8 : url.starts_with("http://") ? 7 : 0;
  if (at == 0 || url.size() > max_url) return false;
  const std::size_t host = at;
  while (at < url.size() && ((url[at] >= 'a' && url[at] <= 'z') || (url[at] >= '0' && url[at] <= '9') || url[at] == '-' || url[at] == '.')) ++at;
  if (at == host || at == url.size() || url[at] != '/') return false;
  // A host of letters whose last label starts with one is no address in disguise; "xn--" is checked by the real parser.
  const std::string_view name = url.substr(host, at - host);
  const std::size_t dot = name.rfind('.');
  const char first = dot + 1 < name.size() ? name[dot + 1] : '-';  // npos + 1 is 0
  if (first < 'a' || first > 'z' || name.find("--") != std::string_view::npos || name.find("..") != std::string_view::npos || name.front() == '.') return false;
  bool in_path = true;
  for (; at < url.size(); ++at) {
    const char c = url[at];
    if (!plain[static_cast<unsigned char>(c)]) return false;
    if (!in_path) continue;
    if (c == '?' || c == '#') in_path = false;
    // A segment that begins with "." or "%2e" may be a step upwards.
    if (c == '/' && at + 1 < url.size() && (url[at + 1] == '.' || url[at + 1] == '%')) return false;
  }
  return true;
}

std::string_view scheme_of(std::string_view url) { return url.substr(0, url.find(':')); }

// Names of parameters whose value opens something. Compared in lower case, without "-" and "_".
bool is_secret_name(std::string_view name) {
  static constexpr std::string_view whole[] = {"auth", "authorization", "credential", "credentials", "hash",    "hmac",   "jwt",     "key",
                                               "pass", "passwd",        "passphrase", "password",    "pwd",     "secret", "session", "sessionid",
                                               "sid",  "sig",           "signature",  "token",       "private", "code",   "otp"};
  static constexpr std::string_view ending[] = {"apikey",  "authkey", "accesskey", "secretkey", "privatekey", "feedkey",    "rsskey",
                                                "userkey", "token",   "secret",    "password",  "signature",  "credential", "keyid"};
  std::string plain_name;
  for (const char c : name.substr(0, 64))
    if (c != '-' && c != '_' && c != '[' && c != ']') plain_name += static_cast<char>(c >= 'A' && c <= 'Z' ? c + 32 : c);
  return std::ranges::find(whole, plain_name) != std::end(whole) ||
         std::ranges::any_of(ending, [&](std::string_view end) { return plain_name.ends_with(end); });
}

bool is_tracking_name(std::string_view name) {
  static constexpr std::string_view whole[] = {"fbclid", "gclid",  "dclid",  "gbraid", "wbraid",  "msclkid",     "yclid",      "twclid", "igshid",
                                               "mc_cid", "mc_eid", "_hsenc", "_hsmi",  "mkt_tok", "oly_anon_id", "oly_enc_id", "vero_id"};
  return name.starts_with("utm_") || std::ranges::find(whole, name) != std::end(whole);
}

// A percent-encoded name is still that name.
std::string decoded_name(std::string_view name) {
  const auto digit = [](char c) { return c >= '0' && c <= '9' ? c - '0' : c >= 'a' && c <= 'f' ? c - 'a' + 10 : c >= 'A' && c <= 'F' ? c - 'A' + 10 : -1; };
  std::string out;
  for (std::size_t i = 0; i < name.size() && i < 192; ++i) {
    if (name[i] == '%' && i + 2 < name.size() && digit(name[i + 1]) >= 0 && digit(name[i + 2]) >= 0) {
      out += static_cast<char>(digit(name[i + 1]) * 16 + digit(name[i + 2]));
      i += 2;
    } else {
      out += name[i];
    }
  }
  return out;
}

void append_redacted(std::string& out, std::string_view parameters) {
  for (bool more = true; more;) {
    const std::size_t end = parameters.find_first_of("&;");
    const std::string_view one = parameters.substr(0, end);
    const std::size_t equals = one.find('=');
    if (equals != std::string_view::npos && is_secret_name(decoded_name(one.substr(0, equals)))) out.append(one.substr(0, equals + 1)).append("REDACTED");
    else out += one;
    more = end != std::string_view::npos;
    if (more) {
      out += parameters[end];
      parameters.remove_prefix(end + 1);
    }
  }
}

}  // namespace

Result<Url> parse_url(std::string_view text, std::string_view base) {
  if (text.size() > max_url) return fail(Code::too_large, "a URL is longer than 65536 bytes", {}, "give a shorter address");
  const lxb_url_t* from = parser().parse(text, base);
  if (from == nullptr)
    return fail(Code::malformed, "this is not a URL", without_credentials(text.substr(0, 200)), "give an address like https://example.org/feed.xml");
  Url out;
  out.scheme = view(from->scheme.name);
  out.username = view(from->username);
  out.password = view(from->password);
  lxb_url_serialize_host(&from->host, append, &out.host);
  if (from->has_port) out.port = from->port;
  lxb_url_serialize_path(&from->path, append, &out.path);
  out.query = view(from->query);
  out.fragment = view(from->fragment);
  out.authority = from->host.type != LXB_URL_HOST_TYPE__UNDEF;
  return out;
}

std::string to_string(const Url& url) {
  std::string out = url.scheme + ":";
  if (url.authority) {
    out += "//";
    if (!url.username.empty() || !url.password.empty()) {
      out += url.username;
      if (!url.password.empty()) out.append(":").append(url.password);
      out += '@';
    }
    out += url.host;
    if (url.port) out.append(":").append(std::to_string(*url.port));
  } else if (url.path.starts_with("//")) {
    out += "/.";  // else the path would read as a host
  }
  out += url.path;
  if (!url.query.empty()) out.append("?").append(url.query);
  if (!url.fragment.empty()) out.append("#").append(url.fragment);
  return out;
}

std::uint16_t port_of(const Url& url) {
  if (url.port) return *url.port;
  return url.scheme == "http" || url.scheme == "ws" ? 80 : url.scheme == "https" || url.scheme == "wss" ? 443 : url.scheme == "ftp" ? 21 : 0;
}

std::string resolve(std::string_view relative, std::string_view base) {
  if (is_normal_http(relative)) return std::string(relative);
  return serialise(parser().parse(relative, base));
}

bool is_http(std::string_view text) {
  if (is_normal_http(text)) return true;
  const lxb_url_t* url = parser().parse(text, {});
  return url != nullptr && (url->scheme.type == LXB_URL_SCHEMEL_TYPE_HTTP || url->scheme.type == LXB_URL_SCHEMEL_TYPE_HTTPS);
}

std::string without_credentials(std::string_view url) {
  std::string out = resolve(url);
  if (out.empty()) out = url;  // not a URL, or a relative one: the same by its marks alone
  const std::size_t tail_at = std::min(out.find_first_of("?#"), out.size());
  // Where an authority may stand, everything up to its last "@" goes. A backslash counts as a slash, as it does in browsers.
  const std::size_t slashes = out.find_first_of("/\\");
  if (slashes < tail_at && slashes + 1 < out.size() && (out[slashes + 1] == '/' || out[slashes + 1] == '\\')) {
    const std::size_t begin = std::min(out.find_first_not_of("/\\", slashes), out.size());
    const std::size_t end = std::min(out.find_first_of("/\\?#", begin), out.size());
    const std::size_t at = out.rfind('@', end);
    if (at != std::string::npos && at >= begin && at < end) out.erase(begin, at + 1 - begin);
  }
  const std::size_t tail = out.find_first_of("?#");
  if (tail == std::string::npos) return out;
  std::string redacted = out.substr(0, tail + 1);
  std::string_view rest = std::string_view(out).substr(tail + 1);
  if (out[tail] == '?') {
    const std::size_t hash = rest.find('#');
    append_redacted(redacted, rest.substr(0, hash));
    if (hash == std::string_view::npos) return redacted;
    redacted += '#';
    rest.remove_prefix(hash + 1);
  }
  append_redacted(redacted, rest);
  return redacted;
}

std::string canonical_url(std::string_view url) {
  std::string out = resolve(url);
  if (out.empty()) return std::string(url);
  if (scheme_of(out) != "http" && scheme_of(out) != "https") return out;
  out.resize(std::min(out.find('#'), out.size()));
  const std::size_t question = out.find('?');
  if (question == std::string::npos) return out;
  std::string kept;
  std::string_view rest = std::string_view(out).substr(question + 1);
  for (bool more = true; more;) {
    const std::size_t end = rest.find('&');
    const std::string_view one = rest.substr(0, end);
    if (!one.empty() && !is_tracking_name(one.substr(0, one.find('=')))) kept.append(kept.empty() ? "?" : "&").append(one);
    more = end != std::string_view::npos;
    if (more) rest.remove_prefix(end + 1);
  }
  out.resize(question);
  return out + kept;
}

}  // namespace weir
