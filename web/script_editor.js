/**
 * Colours for a text field of the host's. They are drawn by a layer behind the textarea, whose letters are then transparent: the
 * browser's editing stays as it is, with undo, input methods, spelling, screen readers, and what other extensions add to the field.
 *
 * The host moves its textarea about, from one renderer's place to the other's. Layer and foot follow as its siblings; where they
 * are missing, the field is a plain one.
 */

import { commonLines, markWrong } from "./script_grammar.js";

const LARGEST_COLOURED = 200_000; // characters; a larger text is shown plain, so that typing stays quick

function element(tag, className, ...children) {
  const made = document.createElement(tag);
  made.className = className;
  made.append(...children);
  return made;
}

export class ScriptEditor {
  constructor(textarea) {
    this.textarea = textarea;
    this.lines = [];
    this.rows = [];
    this.mistakes = [];

    this.colours = element("div", "fabula-script fabula-colours");
    this.colours.ariaHidden = "true";
    this.count = element("span", "fabula-count");
    this.jump = element("button", "fabula-jump");
    this.jump.type = "button";
    this.jump.title = "Go to the next mistake";
    this.message = element("div", "fabula-message");
    this.message.role = "status";
    this.jump.hidden = this.message.hidden = true;
    this.foot = element("div", "fabula-script fabula-foot", element("div", "fabula-counts", this.count, this.jump), this.message);

    // The class "widget-expands" gives a field the free height of its node in Nodes 2.0.
    textarea.classList.add("fabula-script", "fabula-input", "widget-expands");
    // Both layers: it decides on which side the scroll bar is.
    textarea.dir = this.colours.dir = "auto";
    textarea.dataset.captureWheel = "true"; // in Nodes 2.0 the wheel scrolls the text, as in the host's own fields
    for (const type of ["pointerdown", "pointermove", "pointerup", "contextmenu"]) {
      // In Nodes 2.0 a node is dragged by what its fields let through.
      for (const part of [textarea, this.foot]) part.addEventListener(type, (event) => event.stopPropagation());
    }
    textarea.addEventListener("scroll", () => this.#scroll());
    for (const type of ["keyup", "click", "focus"]) textarea.addEventListener(type, () => this.#showMessage());
    this.jump.addEventListener("click", () => this.#goToNextMistake());
    // The size changes whenever the host shows the field, at a new place perhaps. Not at once: what changes sizes while they
    // are told is reported as an error.
    new ResizeObserver(() => requestAnimationFrame(() => this.#attach())).observe(textarea);
  }

  /**
   * Shows the textarea's text anew.
   * @param spansOf gives the spans of a line; the same array as before where nothing has changed
   * @param placesOf gives the parts of a line, by its number from 1, that are mistaken
   */
  paint(spansOf, placesOf) {
    const text = this.textarea.value;
    const isPlain = text.length > LARGEST_COLOURED;
    this.colours.hidden = isPlain;
    this.#setLines(isPlain ? [] : text.split("\n"));
    this.lines.forEach((line, index) => {
      const spans = spansOf(line);
      const places = placesOf(line, index + 1);
      const row = this.rows[index];
      if (row.spans === spans && !row.isWrong && !places.length) return;
      row.spans = spans;
      row.isWrong = places.length > 0;
      row.node.replaceChildren(...pieces(line, places.length ? markWrong(spans, places, line.length) : spans));
    });
    this.#attach();
  }

  /** Shows what is under the field: how much there is, and what is wrong with it. */
  describe(count, mistakes) {
    this.mistakes = mistakes;
    this.count.textContent = count;
    this.jump.textContent = mistakes.length === 1 ? "1 mistake" : `${mistakes.length} mistakes`;
    this.jump.hidden = !mistakes.length;
    this.#showMessage();
  }

  #setLines(lines) {
    const { top, bottom } = commonLines(this.lines, lines);
    const old = this.rows.length - bottom;
    const rows = lines.slice(top, lines.length - bottom).map(() => ({ node: document.createElement("div") }));
    for (const { node } of this.rows.slice(top, old)) node.remove();
    const nodes = document.createDocumentFragment();
    nodes.append(...rows.map(({ node }) => node));
    this.colours.insertBefore(nodes, this.rows[old]?.node ?? null);
    this.rows = [...this.rows.slice(0, top), ...rows, ...this.rows.slice(old)];
    this.lines = lines;
  }

  /** Brings layer and foot to where the textarea is. */
  #attach() {
    if (!this.textarea.parentNode) return;
    if (this.textarea.previousSibling !== this.colours) this.textarea.before(this.colours);
    if (this.textarea.nextSibling !== this.foot) this.textarea.after(this.foot);
    this.#scroll(); // what is shown again begins at its top
  }

  #scroll() {
    this.colours.scrollTop = this.textarea.scrollTop;
  }

  get #caretLine() {
    return this.textarea.value.slice(0, this.textarea.selectionStart).split("\n").length;
  }

  /** The mistake in the caret's line, else the first one. */
  #showMessage() {
    const caret = this.mistakes.length && this.#caretLine;
    const shown = this.mistakes.find(({ line }) => line === caret) ?? this.mistakes[0];
    const text = shown ? `${shown.line ? `Line ${shown.line}: ` : ""}${shown.message}. ${shown.remedy}` : "";
    if (this.message.textContent === text) return;
    this.message.textContent = text;
    this.message.title = text; // it may be too long for its place
    this.message.hidden = !text;
  }

  #goToNextMistake() {
    const caret = this.#caretLine;
    const { line } = this.mistakes.find((mistake) => mistake.line > caret) ?? this.mistakes[0];
    const lines = this.textarea.value.split("\n");
    const start = lines.slice(0, Math.max(line - 1, 0)).reduce((sum, each) => sum + each.length + 1, 0);
    this.textarea.blur(); // so that focusing scrolls to the caret
    this.textarea.setSelectionRange(start, start);
    this.textarea.focus();
    this.#showMessage();
  }
}

/** A line as text and elements. An empty one needs a break to have a height. */
function pieces(line, spans) {
  if (!line) return [document.createElement("br")];
  const made = [];
  let end = 0;
  for (const span of spans) {
    if (end < span.start) made.push(line.slice(end, span.start));
    const piece = element("span", span.kind && `fabula-${span.kind}`, line.slice(span.start, span.end));
    if (span.wrong) piece.classList.add("fabula-wrong");
    made.push(piece);
    end = span.end;
  }
  if (end < line.length) made.push(line.slice(end));
  return made;
}
