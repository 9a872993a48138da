#include "guard/rules.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <cstdint>

#include "base/text.h"

namespace weir::guard {
namespace {

bool is_alnum(char c) { return (c >= '0' && c <= '9') || (c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z'); }
bool is_base64url(char c) { return is_alnum(c) || c == '-' || c == '_'; }
bool is_hex(char c) { return (c >= '0' && c <= '9') || (c >= 'A' && c <= 'F') || (c >= 'a' && c <= 'f'); }

template <class F>
std::size_t run(std::string_view text, std::size_t at, F&& belongs) {
  while (at < text.size() && belongs(text[at])) ++at;
  return at;
}

// Shannon entropy, bits a character.
double entropy(std::string_view value) {
  std::array<int, 256> count{};
  for (const char c : value) ++count[static_cast<unsigned char>(c)];
  double bits = 0;
  for (const int n : count)
    if (n > 0) {
      const double p = static_cast<double>(n) / static_cast<double>(value.size());
      bits -= p * std::log2(p);
    }
  return bits;
}

// "abcdefgh", "12345678": eight in a row that each follow the one before.
bool has_sequence(std::string_view value) {
  std::size_t length = 1;
  for (std::size_t i = 1; i < value.size(); ++i) {
    length = value[i] == value[i - 1] + 1 ? length + 1 : 1;
    if (length >= 8) return true;
  }
  return false;
}

bool checksum_holds(std::string_view token) {
  constexpr std::string_view digits = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";
  const std::size_t prefix = token.find('_') + 1;
  if (token.size() < prefix + 7) return false;
  std::uint32_t crc = 0xFFFFFFFF;  // CRC-32, reflected 0x04C11DB7
  for (const char c : token.substr(prefix, token.size() - prefix - 6)) {
    crc ^= static_cast<unsigned char>(c);
    for (int bit = 0; bit < 8; ++bit) crc = (crc >> 1) ^ (0xEDB88320u & (0u - (crc & 1u)));
  }
  crc = ~crc;
  char expected[6];
  for (int i = 5; i >= 0; --i, crc /= 62) expected[i] = digits[crc % 62];
  return token.substr(token.size() - 6) == std::string_view(expected, 6);
}

// JSON Web Token (RFC 7519): three base64url parts, the first two of them JSON objects: "eyJ" is `{"`.
void match_jwt(std::string_view text, std::size_t at, std::size_t& skip, std::vector<Span>& found) {
  const std::size_t header = run(text, at, is_base64url);
  skip = header;  // what starts inside this run fails for the same reason
  if (header - at < 12 || !text.substr(header).starts_with(".eyJ")) return;
  const std::size_t claims = run(text, header + 1, is_base64url);
  if (claims - header < 12 || claims >= text.size() || text[claims] != '.') return;
  const std::size_t end = run(text, claims + 1, is_base64url);
  if (end - claims < 17) return;
  skip = end;
  found.push_back({at, end});
}

// PEM (RFC 7468) and OpenPGP (RFC 4880) private keys. Line ends may be JSON's "\n". Without an END line, what looks like base64 after BEGIN goes.
void match_private_key(std::string_view text, std::size_t at, std::size_t& skip, std::vector<Span>& found) {
  constexpr std::string_view begin = "-----BEGIN ", end = "-----END ";
  const std::string_view label = text.substr(at + begin.size(), 60);
  const std::size_t dashes = label.find("-----");
  if (dashes == std::string_view::npos || label.substr(0, dashes).find("PRIVATE KEY") == std::string_view::npos) return;
  const std::size_t body = at + begin.size() + dashes + 5;
  std::size_t stop = text.substr(body, 16'384).find("-----");  // nothing inside a key looks like this, so it is the END, or there is none
  if (stop != std::string_view::npos && text.substr(body + stop).starts_with(end)) {
    stop += body + end.size();
    const std::size_t tail = text.substr(stop, 60).find("-----");
    stop = tail == std::string_view::npos ? stop : stop + tail + 5;
  } else {
    stop = body;
    while (stop < text.size()) {
      const char c = text[stop];
      if (is_alnum(c) || c == '+' || c == '/' || c == '=' || c == '\n' || c == '\r') ++stop;
      else if (c == '\\' && stop + 1 < text.size() && (text[stop + 1] == 'n' || text[stop + 1] == 'r')) stop += 2;
      else break;
    }
    if (stop - body < 32) return;  // a header that is talked about, not a key
  }
  skip = stop;
  found.push_back({at, stop});
}

bool ends_authority(char c) {
  return static_cast<unsigned char>(c) <= ' ' || c == '/' || c == '?' || c == '#' || c == '"' || c == '\'' || c == '<' || c == '>' || c == '\\' || c == '`';
}
bool ends_url(char c) { return static_cast<unsigned char>(c) <= ' ' || c == '"' || c == '\'' || c == '<' || c == '>' || c == '\\' || c == '`'; }

std::string_view scheme_before(std::string_view text, std::size_t slashes) {
  if (slashes == 0 || text[slashes - 1] != ':') return {};
  std::size_t begin = slashes - 1;
  while (begin > 0 && slashes - begin < 16 && (is_alnum(text[begin - 1]) || text[begin - 1] == '+' || text[begin - 1] == '.' || text[begin - 1] == '-'))
    --begin;
  return text.substr(begin, slashes - 1 - begin);
}

constexpr std::string_view password_keys[] = {"password", "passwd", "passwort", "pwd", "pass", "client_secret", "secret", "x-plex-token"};
constexpr std::string_view token_keys[] = {"access_token",
                                           "accesstoken",
                                           "api-key",
                                           "api_key",
                                           "api_token",
                                           "apikey",
                                           "apitoken",
                                           "auth_token",
                                           "authtoken",
                                           "authkey",
                                           "bearer",
                                           "feed_token",
                                           "id_token",
                                           "key",
                                           "oauth_token",
                                           "private_token",
                                           "refresh_token",
                                           "secret_key",
                                           "secretkey",
                                           "session",
                                           "session_id",
                                           "sessionid",
                                           "subscription-key",
                                           "token",
                                           "user_token",
                                           "x-api-key",
                                           "x-amz-security-token"};

// As random as a key: long, letters and digits, many bits a character, and no slug of words.
bool looks_like_a_key(std::string_view value) {
  if (value.size() < 16) return false;
  std::size_t digits = 0, hex = 0, separators = 0, longest_word = 0, word = 0;
  for (const char c : value) {
    digits += c >= '0' && c <= '9';
    hex += is_hex(c) || c == '-';
    separators += c == '-' || c == '_' || c == '+' || c == '.';
    word = c >= 'a' && c <= 'z' ? word + 1 : 0;
    longest_word = std::max(longest_word, word);
  }
  if (digits < 2 || digits == value.size()) return false;
  if (hex != value.size() && separators >= 2 && longest_word >= 4) return false;
  return entropy(value) >= (hex == value.size() ? 2.8 : 3.4);
}

// [0-9]{8,10}:AA…: the bot's number stands before the literal.
void match_telegram(std::string_view text, std::size_t at, std::size_t& skip, std::vector<Span>& found) {
  std::size_t begin = at;
  while (begin > 0 && at - begin < 11 && text[begin - 1] >= '0' && text[begin - 1] <= '9') --begin;
  const std::size_t end = run(text, at + 1, is_base64url);
  skip = end;
  if (at - begin < 8 || at - begin > 10 || end - at != 36 || !starts_word(text, begin) || !passes(Check::mixed, text.substr(at, 36))) return;
  found.push_back({begin, end});
}

constexpr std::string_view slashes[] = {"//"}, github[] = {"ghp_", "gho_", "ghu_", "ghs_", "ghr_"}, github_fine[] = {"github_pat_"}, npm[] = {"npm_"},
                           gitlab[] = {"glpat-", "gldt-", "glrt-", "glptt-", "glft-", "glsoat-", "glcbt-", "glimt-", "glagent-"},
                           aws[] = {"AKIA", "ASIA", "ABIA", "ACCA"}, slack[] = {"xoxb-", "xoxp-", "xoxa-", "xoxr-", "xoxs-", "xoxo-", "xoxe-", "xoxe."},
                           slack_app[] = {"xapp-"}, slack_hook[] = {"hooks.slack.com/"}, stripe[] = {"sk_live_", "rk_live_", "sk_test_", "rk_test_", "whsec_"},
                           google[] = {"AIzaSy"}, google_oauth[] = {"GOCSPX-"}, google_refresh[] = {"ya29."}, pypi[] = {"pypi-AgEI"}, sendgrid[] = {"SG."},
                           twilio[] = {"SK"}, openai[] = {"sk-"}, anthropic[] = {"sk-ant-"}, huggingface[] = {"hf_"},
                           digitalocean[] = {"dop_v1_", "doo_v1_", "dor_v1_"}, shopify[] = {"shpat_", "shpca_", "shppa_", "shpss_"}, telegram[] = {":AA"},
                           jwt[] = {"eyJ"}, pem[] = {"-----BEGIN "}, weir_token[] = {"weir_"}, age[] = {"AGE-SECRET-KEY-1"}, grafana[] = {"glsa_"},
                           grafana_cloud[] = {"glc_"}, vault[] = {"hvs.", "hvb."}, vault_old[] = {"s."}, sonar[] = {"squ_", "sqp_", "sqa_"}, okta[] = {"00"},
                           intra42[] = {"s-s4t2"}, scalingo[] = {"tk-us-"}, linear[] = {"lin_api_"}, pulumi[] = {"pul-"}, doppler[] = {"dp.pt."},
                           databricks[] = {"dapi"}, planetscale[] = {"pscale_tkn_", "pscale_pw_"}, postman[] = {"PMAK-"}, rubygems[] = {"rubygems_"},
                           cratesio[] = {"cio"}, discord_hook[] = {"discord.com/api/webhooks/", "discordapp.com/api/webhooks/"}, mailgun[] = {"key-"},
                           square[] = {"sq0atp-", "sq0csp-", "EAAA"}, artifactory[] = {"cmVmdGtu"}, dockerhub[] = {"dckr_pat_"}, groq[] = {"gsk_"},
                           replicate[] = {"r8_"}, newrelic[] = {"NRAK-"}, supabase[] = {"sbp_"}, tailscale[] = {"tskey-"}, notion[] = {"ntn_", "secret_"},
                           airtable[] = {"pat"}, figma[] = {"figd_"};

// kind, rule, literals, pattern, check, longest. Formats are the issuers' own; each has a row in guard_test.cc.
constexpr Rule table[] = {
    {"secret.url.userinfo", "url-userinfo", slashes, "", Check::none, 0, match_userinfo, false},
    {"secret.url.query", "url-query", slashes, "", Check::none, 0, match_query, false},
    {"secret.github", "github-token", github, "gh[pousr]_[0-9A-Za-z]{36,251}", Check::checksum},
    {"secret.github", "github-fine-grained", github_fine, "github_pat_[0-9A-Za-z]{22}_[0-9A-Za-z]{59}"},
    {"secret.npm", "npm-token", npm, "npm_[0-9A-Za-z]{36}", Check::checksum},
    {"secret.gitlab", "gitlab-token", gitlab, "gl(?:pat|dt|rt|ptt|ft|soat|cbt|imt|agent)-[0-9A-Za-z_-]{20,64}(?:\\.[0-9a-z]{2}\\.[0-9a-z]{7})?"},
    {"secret.aws", "aws-access-key", aws, "A(?:KIA|SIA|BIA|CCA)[A-Z2-7]{16}"},
    {"secret.slack", "slack-token", slack,
     "xox(?:[bpares]-(?:[0-9]{6,14}-){1,3}[0-9A-Za-z-]{6,80}|o-[0-9]+-[0-9A-Fa-f-]{20,80}|e-[0-9]+-[0-9A-Za-z]{60,255}|e\\.xox[bp]-[0-9]+-[0-9A-Za-z]{100,250}"
     ")",
     Check::random, 400},
    {"secret.slack", "slack-app-token", slack_app, "xapp-[0-9]-[0-9A-Z]+-[0-9]+-[0-9a-f]{32,128}"},
    {"secret.slack", "slack-webhook", slack_hook, "hooks\\.slack\\.com/(?:services|workflows|triggers)/[0-9A-Za-z+/]{40,120}", Check::random, 256, nullptr,
     false},
    {"secret.stripe", "stripe-key", stripe, "(?:[sr]k_(?:live|test)|whsec)_[0-9A-Za-z]{24,247}"},
    {"secret.google", "google-api-key", google, "AIzaSy[0-9A-Za-z_-]{33}"},
    {"secret.google", "google-oauth-secret", google_oauth, "GOCSPX-[0-9A-Za-z_-]{28}"},
    {"secret.google", "google-access-token", google_refresh, "ya29\\.[0-9A-Za-z_-]{60,250}", Check::random, 300},
    {"secret.pypi", "pypi-token", pypi, "pypi-AgEI[0-9A-Za-z_-]{50,250}", Check::random, 300},
    {"secret.sendgrid", "sendgrid-key", sendgrid, "SG\\.[0-9A-Za-z_-]{22}\\.[0-9A-Za-z_-]{43}"},
    {"secret.twilio", "twilio-key", twilio, "SK[0-9a-f]{32}"},
    {"secret.anthropic", "anthropic-key", anthropic, "sk-ant-[a-z0-9]{3,8}-[0-9A-Za-z_-]{80,120}"},
    {"secret.openai", "openai-key", openai,
     "sk-(?:[0-9A-Za-z]{20}T3BlbkFJ[0-9A-Za-z]{20}|(?:proj|svcacct|admin)-[0-9A-Za-z_-]{20,200}|[0-9A-Za-z]{48}|or-v1-[0-9a-f]{64})"},
    {"secret.huggingface", "huggingface-token", huggingface, "hf_[0-9A-Za-z]{34,40}"},
    {"secret.digitalocean", "digitalocean-token", digitalocean, "do[por]_v1_[0-9a-f]{64}"},
    {"secret.shopify", "shopify-token", shopify, "shp(?:at|ca|pa|ss)_[0-9A-Fa-f]{32}"},
    {"secret.telegram", "telegram-bot-token", telegram, "", Check::none, 0, match_telegram, false},
    {"secret.jwt", "json-web-token", jwt, "", Check::none, 0, match_jwt},
    {"secret.private_key", "private-key", pem, "", Check::none, 0, match_private_key, false},
    {"secret.weir", "weir-token", weir_token, "weir_[0-9A-Za-z]{1,20}_[0-9A-Za-z_-]{20,120}"},
    {"secret.age", "age-secret-key", age, "AGE-SECRET-KEY-1[QPZRY9X8GF2TVDW0S3JN54KHCE6MUA7L]{58}"},
    {"secret.grafana", "grafana-service-token", grafana, "glsa_[0-9A-Za-z]{32}_[0-9A-Fa-f]{8}"},
    {"secret.grafana", "grafana-cloud-token", grafana_cloud, "glc_[0-9A-Za-z+/]{32,400}={0,3}", Check::random, 420},
    {"secret.vault", "vault-token", vault, "hv[sb]\\.[0-9A-Za-z_-]{24,250}"},
    {"secret.sonar", "sonar-token", sonar, "sq[upa]_[0-9A-Za-z]{40}", Check::none},
    {"secret.intra42", "intra42-secret", intra42, "s-s4t2(?:ud|af)-[0-9a-f]{64}"},
    {"secret.scalingo", "scalingo-token", scalingo, "tk-us-[0-9A-Za-z_-]{48}"},
    {"secret.linear", "linear-key", linear, "lin_api_[0-9A-Za-z]{40}"},
    {"secret.pulumi", "pulumi-token", pulumi, "pul-[0-9a-f]{40}"},
    {"secret.doppler", "doppler-token", doppler, "dp\\.pt\\.[0-9A-Za-z]{43}"},
    {"secret.databricks", "databricks-token", databricks, "dapi[0-9a-f]{32}(?:-[0-9])?"},
    {"secret.planetscale", "planetscale-token", planetscale, "pscale_(?:tkn|pw)_[0-9A-Za-z_.-]{32,64}"},
    {"secret.postman", "postman-key", postman, "PMAK-[0-9a-f]{24}-[0-9a-f]{34}"},
    {"secret.rubygems", "rubygems-key", rubygems, "rubygems_[0-9a-f]{48}"},
    {"secret.crates", "crates-io-token", cratesio, "cio[0-9A-Za-z]{32}"},
    {"secret.discord", "discord-webhook", discord_hook, "discord(?:app)?\\.com/api/webhooks/[0-9]{17,20}/[0-9A-Za-z_-]{60,80}", Check::random, 256, nullptr,
     false},
    {"secret.docker", "docker-token", dockerhub, "dckr_pat_[0-9A-Za-z_-]{27}"},
    {"secret.groq", "groq-key", groq, "gsk_[0-9A-Za-z]{52}"},
    {"secret.replicate", "replicate-token", replicate, "r8_[0-9A-Za-z]{37}"},
    {"secret.newrelic", "newrelic-key", newrelic, "NRAK-[0-9A-Z]{27}"},
    {"secret.supabase", "supabase-token", supabase, "sbp_[0-9a-f]{40}"},
    {"secret.tailscale", "tailscale-key", tailscale, "tskey-(?:api|auth|client|scim|webhook)-[0-9A-Za-z]{9,24}-[0-9A-Za-z]{20,48}"},
    {"secret.notion", "notion-token", notion, "(?:ntn_[0-9]{11}[0-9A-Za-z]{35}|secret_[0-9A-Za-z]{43})"},
    {"secret.airtable", "airtable-token", airtable, "pat[0-9A-Za-z]{14}\\.[0-9a-f]{64}"},
    {"secret.figma", "figma-token", figma, "figd_[0-9A-Za-z_-]{40,60}"},
    {"secret.square", "square-token", square, "(?:sq0(?:atp-[0-9A-Za-z_-]{22}|csp-[0-9A-Za-z_-]{43})|EAAA[0-9A-Za-z_-]{60})"},
    {"secret.mailgun", "mailgun-key", mailgun, "key-[0-9a-f]{32}"},
    {"secret.artifactory", "artifactory-token", artifactory, "cmVmdGtu[0-9A-Za-z]{56}"},
    {"secret.vault", "vault-token-old", vault_old, "s\\.[0-9A-Za-z]{24}", Check::mixed},
    {"secret.okta", "okta-token", okta, "00[0-9A-Za-z_-]{40}", Check::mixed, 256, nullptr, true, "okta"},
};

}  // namespace

std::span<const Rule> rules() { return table; }

// user:password@ in an authority. A name alone counts where it can be a token (http, ws, ftp), not in "ssh://git@host".
void match_userinfo(std::string_view text, std::size_t at, std::size_t&, std::vector<Span>& found) {
  const std::size_t begin = at + 2;
  std::size_t end = begin, sign = std::string_view::npos;
  for (; end < text.size() && end - begin < 1024 && !ends_authority(text[end]); ++end)
    if (text[end] == '@') sign = end;
  if (sign == std::string_view::npos || sign == begin || sign + 1 == end) return;
  const char host = text[sign + 1];
  if (!is_alnum(host) && host != '[' && host != '%' && static_cast<unsigned char>(host) < 0x80) return;
  const std::string_view userinfo = text.substr(begin, sign - begin);
  const std::size_t colon = userinfo.find(':');
  if (colon == std::string_view::npos || colon + 1 == userinfo.size()) {
    const std::string scheme = to_lower_ascii(scheme_before(text, at));
    constexpr std::string_view schemes[] = {"http", "https", "ws", "wss", "ftp", "ftps"};
    if (std::ranges::find(schemes, scheme) == std::end(schemes)) return;
  }
  found.push_back({begin, sign + 1});
}

// The path of a picture: what looks like a key in its query is a signature of that one picture (image resizers, content networks), not a credential.
bool is_picture(std::string_view path) {
  for (const std::string_view end : {".jpg", ".jpeg", ".png", ".gif", ".webp", ".avif", ".svg"})
    if (path.size() >= end.size() && equal_ignoring_case(path.substr(path.size() - end.size()), end)) return true;
  return false;
}

// Secret values in the query or fragment.
void match_query(std::string_view text, std::size_t at, std::size_t& skip, std::vector<Span>& found) {
  const std::size_t end = run(text, at + 2, [](char c) { return !ends_url(c); });
  skip = end;
  const std::string_view url = text.substr(0, end);
  const std::size_t query = std::min(url.find_first_of("?#", at + 2), end);
  const bool picture = is_picture(url.substr(at, query - at));
  for (std::size_t begin = query; begin < end;) {
    ++begin;
    if (url.substr(begin).starts_with("amp;")) begin += 4;  // "&amp;" as HTML writes it
    const std::size_t stop = std::min(url.find_first_of("?&;#", begin), end);
    const std::size_t equals = begin + std::min(url.substr(begin, stop - begin).find('='), stop - begin);
    if (equals < stop && equals - begin <= 32) {
      const std::string key = to_lower_ascii(url.substr(begin, equals - begin));
      const std::string_view value = url.substr(equals + 1, stop - equals - 1);
      const bool cut_before = value == "[redacted]";
      if ((std::ranges::find(password_keys, key) != std::end(password_keys) && value.size() >= 4 && !cut_before) ||
          (std::ranges::find(token_keys, key) != std::end(token_keys) && !picture && looks_like_a_key(value)))
        found.push_back({equals + 1, stop});
    }
    begin = stop;
  }
}

bool passes(Check check, std::string_view token) {
  if (check == Check::none || (check == Check::checksum && checksum_holds(token))) return true;
  if (token.size() < 16 || has_sequence(token) || token.find("EXAMPLE") != std::string_view::npos) return false;
  if (check == Check::mixed) {
    std::size_t digits = 0, capitals = 0, small = 0;
    for (const char c : token) digits += c >= '0' && c <= '9', capitals += c >= 'A' && c <= 'Z', small += c >= 'a' && c <= 'z';
    if (digits < 2 || capitals < 2 || small < 2) return false;
  }
  return entropy(token) >= 3.0;
}

bool starts_word(std::string_view text, std::size_t at) {
  if (at == 0) return true;
  const auto escaped = [&](std::size_t backslash) {  // an odd number of backslashes ends there
    std::size_t n = 0;
    while (n <= backslash && text[backslash - n] == '\\') ++n;
    return n % 2 == 1;
  };
  const char c = text[at - 1];
  if (!is_alnum(c)) return true;
  if (at >= 2 && text[at - 2] == '\\' && std::string_view("nrtbf").find(c) != std::string_view::npos && escaped(at - 2)) return true;
  return at >= 6 && text[at - 6] == '\\' && text[at - 5] == 'u' && escaped(at - 6);
}

}  // namespace weir::guard
