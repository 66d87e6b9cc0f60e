/**
 * The script grammar, as far as colours need it. It follows story/*.py, which is the judge of what is right: nothing here calls
 * a script wrong. No DOM and no host, so that it can be tested alone.
 *
 * A span is {start, end, kind}, in UTF-16 units of its line; the spans of a line are in order and do not overlap. Kinds: comment,
 * scene, name, unknown, nobody, caption, speaker, speech, option, note. What has no span is plain text.
 */

const LONGEST_LINE = 5000; // longer ones stay plain
const QUOTED = '"[^"]*"|\u201c[^\u201c\u201d]*\u201d';
const LETTER = "[\\p{L}\\p{N}_]";
// As story/speech.py has them: an apostrophe within single quotes closes none.
const SPOKEN = [
  ...['""', "\u201c\u201d", "\u300c\u300d", "\u300e\u300f", "\u00ab\u00bb", "\u00bb\u00ab", "\u201d\u201d"].map(
    ([first, last]) => `${first}[^${first}${last}]*${last}`
  ),
  "\u201e[^\u201c-\u201e]*[\u201c\u201d]",
  `\u2018[^\u2018\u2019]*(?:\u2019${LETTER}[^\u2018\u2019]*)*\u2019(?!${LETTER})`,
  `'[^']*(?:(?<=${LETTER})'${LETTER}[^']*)*'(?!${LETTER})`,
].join("|");
const WIDE_TAG = "[\u3010\uff3b][^[\\]\u3010\u3011\uff3b\uff3d]*[\u3011\uff3d]"; // the brackets of Chinese and Japanese input methods
const TAG_PATTERN = `\\[[^[\\]]*\\]|${WIDE_TAG}`;
const TAG = new RegExp(TAG_PATTERN, "g");
const MANNER = "(?:\\s*[(\uff08][^()\uff08\uff09]{0,60}[)\uff09])?"; // Mia (laughing): "Hi!"
const AHEAD = "(?<![^\\s\\]\u3011\uff3d#])"; // white space, a tag, or the # itself
const OPTION_NAME = `${AHEAD}(?:seed|style|negative|prompt_2|crop|alias)=`;
const QUOTED_OPTION = new RegExp(`${OPTION_NAME}(?:${QUOTED})`, "g");
const OPTION = new RegExp(`${OPTION_NAME}(?:${QUOTED}|\\S*)`, "g");
const ALIAS = new RegExp(`${AHEAD}alias=(${QUOTED}|\\S*)`, "g");
const CHARACTER = new RegExp(`^[\\s\\p{Cc}]*(${TAG_PATTERN})`, "u");

/** As story/text.py cleans: NFC, control characters and runs of white space as single spaces. */
const clean = (text) => text.normalize("NFC").replaceAll("\ufeff", "").replace(/[\s\p{Cc}]+/gu, " ").trim();

/** Names that differ in case alone are one name. Both ways, because each alone leaves some pairs apart (ß and ẞ, K and its sign). */
const fold = (name) => name.toLowerCase().toUpperCase();

const isNobody = (tag) => fold(tag) === "NC";

/** "comment", "scene", "text", or "" for a line that says nothing. */
function kindOf(line) {
  const start = clean(line.slice(0, LONGEST_LINE));
  if (!start) return clean(line) ? "text" : "";
  if (start.startsWith("//")) return "comment";
  return start.startsWith("##") ? "scene" : "text";
}

/** A line of `characters`: its spans, and the names that it defines. */
export function readCharacter(line) {
  if (kindOf(line) === "comment") return { spans: [{ start: 0, end: line.length, kind: "comment" }], names: [] };
  const head = CHARACTER.exec(line.slice(0, LONGEST_LINE));
  if (!head) return { spans: [], names: [] };

  const from = head[0].length;
  const rest = line.slice(from, LONGEST_LINE);
  const hash = lastHash(rest, [...spansOf(QUOTED_OPTION, rest), ...spansOf(TAG, rest)]);
  const note = hash < 0 ? line.length : from + hash;
  const aliases = [...line.slice(from, note).matchAll(ALIAS)];
  const spans = [{ start: from - head[1].length, end: from, kind: "name" }];
  spans.push(...aliases.map(({ 0: text, index }) => ({ start: from + index, end: from + index + text.length, kind: "option" })));
  if (note < line.length) spans.push({ start: note, end: line.length, kind: "note" });

  const tag = clean(head[1].slice(1, -1));
  if (!tag || isNobody(tag)) return { spans, names: [] };
  const also = aliases.flatMap((match) => match[1].replace(/["\u201c\u201d]/g, "").split(/[,\uff0c\u3001]/));
  return { spans, names: [tag, ...also.map(clean).filter(Boolean)] };
}

/** Who may be named: `names` of all characters; null where they are not known, and then every name will do. */
export class Cast {
  constructor(names) {
    this.key = names ? names.join("\n") : null;
    this.folded = names && new Set(names.map(fold));
    const known = [...(names ?? [])].sort((a, b) => b.length - a.length).map(escapeName);
    const bare = known.length ? `|(?<!${LETTER})(?:${known.join("|")})` : "";
    const speaker = `(?<speaker>(?:${TAG_PATTERN}${bare})${MANNER}\\s*[:\uff1a])`;
    // Quoted options first: what stands in their quotes is their own.
    this.speech = new RegExp(`${QUOTED_OPTION.source}|${speaker}\\s*(?<text>${SPOKEN})`, "gu");
  }

  knows(tag) {
    return !this.folded || this.folded.has(fold(tag));
  }
}

/** The spans of a line of `panels`. */
export function readPanel(line, cast) {
  const kind = kindOf(line);
  if (kind !== "text") return kind ? [{ start: 0, end: line.length, kind }] : [];
  if (line.length > LONGEST_LINE) return [];

  const spans = [];
  const isFree = ({ start, end }) => spans.every((other) => end <= other.start || other.end <= start);
  for (const { 0: whole, index, groups } of line.matchAll(cast.speech)) {
    if (!groups.text) continue; // an option
    const end = index + whole.length;
    spans.push({ start: index, end: index + groups.speaker.length, kind: "speaker" });
    spans.push({ start: end - groups.text.length, end, kind: "speech" });
  }
  spans.push(...spansOf(OPTION, line, "option").filter(isFree));
  const tags = spansOf(TAG, line).filter(isFree);
  const caption = lastHash(line, [...spans, ...tags]);
  for (const { start, end } of tags) {
    if (0 <= caption && caption < start) continue; // in a caption other brackets are the author's own
    const tag = clean(line.slice(start + 1, end - 1));
    spans.push({ start, end, kind: isNobody(tag) ? "nobody" : cast.knows(tag) ? "name" : "unknown" });
  }
  spans.sort((a, b) => a.start - b.start);
  return caption < 0 ? spans : fill(spans, caption, line.length, "caption");
}

/** How many pictures a text of `panels` asks for. */
export const countPanels = (lines) => lines.filter((line) => kindOf(line) === "text").length;

/** The parts of a line that a mistake's message speaks of, such as [Maya] or seed=x; the whole line where it quotes none. */
export function placesOf(message, line) {
  for (const [quoted] of message.matchAll(/\[[^[\]]+\]|\w+=[^\s"]*|"[^"]+"/g)) {
    const text = quoted.startsWith('"') ? quoted.slice(1, -1) : quoted;
    const places = [];
    for (let start = line.indexOf(text); start >= 0; start = line.indexOf(text, start + text.length)) {
      places.push({ start, end: start + text.length });
    }
    if (places.length) return places;
  }
  return [{ start: line.length - line.trimStart().length, end: line.trimEnd().length }];
}

/** The spans of a line of `length`, cut at the ends of `places` and gapless; `wrong` tells which lie inside one. */
export function markWrong(spans, places, length) {
  const edges = [0, length, ...[...spans, ...places].flatMap(({ start, end }) => [start, end])];
  const cuts = [...new Set(edges)].sort((a, b) => a - b);
  const around = (list, start) => list.find((each) => each.start <= start && start < each.end);
  return cuts.slice(1).map((end, index) => {
    const start = cuts[index];
    return { start, end, kind: around(spans, start)?.kind ?? "", wrong: Boolean(around(places, start)) };
  });
}

/** How many lines two texts have in common at their top and at their bottom. */
export function commonLines(before, after) {
  const most = Math.min(before.length, after.length);
  let top = 0;
  while (top < most && before[top] === after[top]) top++;
  let bottom = 0;
  while (bottom < most - top && before[before.length - 1 - bottom] === after[after.length - 1 - bottom]) bottom++;
  return { top, bottom };
}

/** Mistakes found in `before` at the lines that they have in `after`, without those in lines that have changed. */
export function moveMistakes(mistakes, before, after) {
  const { top, bottom } = commonLines(before, after);
  return mistakes.flatMap((mistake) => {
    if (mistake.line > before.length - bottom) return [{ ...mistake, line: mistake.line + after.length - before.length }];
    return 0 < mistake.line && mistake.line <= top ? [mistake] : [];
  });
}

const spansOf = (pattern, text, kind) =>
  [...text.matchAll(pattern)].map(({ 0: found, index }) => ({ start: index, end: index + found.length, kind }));

/** Where the last `#` outside of `spans` is, or -1. */
function lastHash(text, spans) {
  let at = text.lastIndexOf("#");
  for (let inside; at >= 0 && (inside = spans.find(({ start, end }) => start < at && at < end)); ) {
    at = inside.start ? text.lastIndexOf("#", inside.start - 1) : -1;
  }
  return at;
}

/** `spans`, with spans of `kind` in all gaps from `from` to `to`. */
function fill(spans, from, to, kind) {
  const filled = spans.filter(({ start }) => start < from);
  let end = from;
  for (const span of [...spans.filter(({ start }) => start >= from), { start: to }]) {
    if (end < span.start) filled.push({ start: end, end: span.start, kind });
    if (span.start < to) filled.push(span);
    end = span.end;
  }
  return filled;
}

/** A name as a pattern, in any case: cleaning has made its white space single spaces. */
const escapeName = (name) =>
  [...name].map((letter) => (letter === " " ? "\\s+" : `(?:${spellings(letter).map(literal).join("|")})`)).join("");

const spellings = (letter) =>
  [...new Set([letter, letter.toLowerCase(), letter.toUpperCase()])].filter((each) => each.length === letter.length);

const literal = (text) => text.replace(/[\\^$.*+?()[\]{}|/]/g, "\\$&");
