#include "cli/examples.h"

#include <array>
#include <utility>

namespace weir::cli {
namespace {

constexpr std::array<std::pair<std::string_view, std::string_view>, 24> all{{
    {"serve",
     "  weir serve                                     on 127.0.0.1:8088; the first start prints a link to sign in with\n"
     "  weir serve --listen 0.0.0.0:8088 --allow-net 192.168.1.0/24\n"
     "                                                 for a home network, and feeds inside it may be fetched\n"
     "  weir --no-model serve                          chronological, at 40 MB\n"},
    {"add",
     "  weir add https://example.org/                  the feed that this page names\n"
     "  weir add --folder Science https://example.org/feed.xml\n"
     "  weir add subscriptions.opml saved-feeds/       every feed and list in them\n"},
    {"import",
     "  weir import subscriptions.opml                 what another reader exported; what is known already stays as it is\n"
     "  weir import --starter                          to begin with\n"
     "  curl … | weir import -                         from a pipe\n"},
    {"export", "  weir export subscriptions.opml                 for another reader; passwords in addresses are left out\n"},
    {"fetch",
     "  weir fetch                                     all, now; exit code 1 when one of them fails\n"
     "  weir fetch 12                                  one: its number is in weir sources\n"},
    {"list",
     "  weir list                                      the newest that are unread\n"
     "  weir list --order ranked --limit 10            the ten that fit your taste best\n"
     "  weir --json list --state all --source 12       as JSON Feed items, with their texts\n"},
    {"search",
     "  weir search attention budget                   both words\n"
     "  weir search '\"attention budget\"' --order relevance\n"
     "                                                 side by side; the best first\n"
     "  weir search 注意力                             Chinese, single characters too\n"},
    {"read",
     "  weir read 4711                                 its number is in weir list\n"
     "  weir read --keep-unread 4711 | less\n"},
    {"why", "  weir why 4711                                  each part of the score, and the items you liked that carry it\n"},
    {"like", "  weir like 4711 4712                            from ten signals on Weir ranks by your taste\n"},
    {"dislike", "  weir dislike 4711                              what is like it sinks in weir list --order ranked\n"},
    {"star",
     "  weir star 4711                                 retention leaves it alone\n"
     "  weir star --undo 4711\n"},
    {"sources",
     "  weir sources                                   numbers, counts, and why one is ill\n"
     "  weir sources edit 12 --folder News --keep-days 30\n"
     "                                                 its items go after a month, but those with a star\n"
     "  weir sources keep                              how long items stay, in all and by source\n"
     "  weir sources keep --days 90                    in all; sources with their own time keep it\n"
     "  weir sources push builds                       then: weir token new --scope ingest:NUMBER\n"},
    {"user",
     "  weir user link                                 a new sign-in link, good for one use within a day\n"
     "  weir user add ann --password-file FILE\n"},
    {"token",
     "  weir token new --scope read                    curl -H \"Authorization: Bearer TOKEN\" http://127.0.0.1:8088/api/items\n"
     "  weir token new --scope ingest:12               for a program that may do nothing but push to source 12\n"},
    {"model",
     "  weir model fetch minilm                        smaller and faster; English only\n"
     "  weir model use minilm                          from the next start on\n"},
    {"backup", "  weir backup /mnt/backups/weir-2026-11-24.db    checked when it is written; feeds go on\n"},
    {"restore",
     "  weir --data /srv/weir restore /mnt/backups/weir-2026-11-24.db\n"
     "                                                 /srv/weir must not have a weir.db yet\n"},
    {"doctor",
     "  weir doctor                                    exit code 1 when something is bad\n"
     "  weir --json doctor --thorough | jq '.checks[] | select(.state != \"ok\")'\n"},
    {"bench",
     "  weir bench parse feeds/                        this machine with your own feeds\n"
     "  weir bench encode --model minilm\n"},
    {"parse",
     "  weir parse feed.xml | jq '.items[].title'\n"
     "  curl -s https://example.org/feed | weir parse --base https://example.org/feed -\n"},
    {"encode", "  weir parse feed.xml | jq -c '.items[]' | weir encode > with-vectors.jsonl\n"},
    {"rank",
     "  weir rank --signals liked.jsonl --why items.jsonl\n"
     "  liked.jsonl: {\"item\": {\"id\": \"a\", \"title\": \"…\"}, \"kind\": \"like\", \"at\": \"2026-11-24T08:00:00Z\"}\n"},
    {"guard", "  weir export | weir guard scan                  what would leak\n"},
}};

}  // namespace

std::string_view examples(std::string_view command) {
  for (const auto& [name, text] : all)
    if (name == command) return text;
  return {};
}

}  // namespace weir::cli
