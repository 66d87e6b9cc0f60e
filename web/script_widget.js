/**
 * The script editor of the node `Fabula_Story`: its two text fields in colours, with the number of panels and the mistakes.
 *
 * The fields stay the host's own text widgets, with the same value at the same place in saved workflows. What is wrong is found by
 * the server, with the grammar that runs the story (host/script_check.py).
 */

import { api } from "../../scripts/api.js";
import { app } from "../../scripts/app.js";
import { ScriptEditor } from "./script_editor.js";
import { Cast, countPanels, moveMistakes, placesOf, readCharacter, readPanel } from "./script_grammar.js";

const NODE = "Fabula_Story";
const PAUSE = 400; // ms without a change before names are read anew and the server is asked
const REMEMBERED_LINES = 20_000;
const SUBGRAPH_INPUT = -10; // the host's id for a subgraph's own inputs

/** One text field of the node. */
class Field {
  /**
   * @param read gives the spans of a line
   * @param describe says how much there is in lines
   */
  constructor(widget, read, describe) {
    this.editor = new ScriptEditor(widget.element);
    this.options = widget.options;
    this.read = read;
    this.describe = describe;
    this.known = new Map(); // what was read, by line
    this.lines = [];
    this.mistakes = [];
    this.isLinked = false;
    // For its text type, Nodes 2.0 shows a field of its own in place of the widget's element; for others it shows the element.
    widget.type = "fabula_script";
  }

  get text() {
    return this.editor.textarea.value;
  }

  /** Calls `change` whenever the text may have changed. */
  watch(change) {
    this.editor.textarea.addEventListener("input", change);
    // A workflow that is loaded, and a subgraph's copy of the widget, set the value without an event.
    const { setValue } = this.options;
    this.options.setValue = (value) => {
      setValue(value);
      change();
    };
  }

  /** Shows the text and its mistakes as they are now. */
  paint() {
    const lines = this.text.split("\n");
    this.mistakes = moveMistakes(this.mistakes, this.lines, lines);
    this.lines = lines;
    const messages = new Map();
    for (const { line, message } of this.mistakes) messages.set(line, [...(messages.get(line) ?? []), message]);
    if (this.known.size > REMEMBERED_LINES) this.known.clear();
    this.editor.paint(
      (line) => {
        if (!this.known.has(line)) this.known.set(line, this.read(line));
        return this.known.get(line);
      },
      (line, number) => (messages.get(number) ?? []).flatMap((message) => placesOf(message, line)),
    );
    this.editor.describe(this.isLinked ? "comes over a link" : this.describe(lines), this.mistakes);
    this.editor.textarea.readOnly = this.isLinked;
  }
}

/** The fields of one node, and what the server says of them. */
class Story {
  constructor(node, characters, panels) {
    this.node = node;
    this.cast = new Cast(null);
    const define = (line) => readCharacter(line).names.length > 0;
    this.fields = {
      characters: new Field(
        characters,
        (line) => readCharacter(line).spans,
        (lines) => counted(lines.filter(define).length, "character"),
      ),
      panels: new Field(
        panels,
        (line) => readPanel(line, this.cast),
        (lines) => counted(countPanels(lines), "panel"),
      ),
    };
  }

  start() {
    for (const field of Object.values(this.fields)) {
      field.watch(() => {
        field.paint();
        this.#settleSoon();
      });
      field.paint();
    }
    this.#settleSoon();
    follow(this.node, "onConnectionsChange", () => this.#settleSoon());
    follow(this.node, "onRemoved", () => this.#stop());
  }

  #stop() {
    clearTimeout(this.pause);
    this.question?.abort();
  }

  #settleSoon() {
    this.#stop();
    this.pause = setTimeout(() => this.#settle(), PAUSE);
  }

  async #settle() {
    const { characters, panels } = this.fields;
    characters.isLinked = this.#isLinked("characters");
    panels.isLinked = this.#isLinked("panels");
    const cast = new Cast(characters.isLinked ? null : characters.text.split("\n").flatMap((line) => readCharacter(line).names));
    if (cast.key !== this.cast.key) {
      this.cast = cast;
      panels.known.clear();
    }
    characters.paint();
    panels.paint();
    // A text that comes over a link is not known before the story runs.
    const isKnown = !characters.isLinked && !panels.isLinked;
    const mistakes = isKnown ? await this.#ask({ characters: characters.text, panels: panels.text }) : [];
    if (!mistakes) return;
    for (const [name, field] of Object.entries(this.fields)) {
      field.mistakes = mistakes.filter(({ input }) => input === name);
      field.paint();
    }
  }

  /** What is wrong with the texts; null where there is no answer, or the texts have changed since. */
  async #ask(texts) {
    this.question = new AbortController();
    const { signal } = this.question;
    const headers = { "Content-Type": "application/json" };
    try {
      const answer = await api.fetchApi("/fabula/check", { method: "POST", headers, body: JSON.stringify(texts), signal });
      const { mistakes } = await answer.json();
      return signal.aborted ? null : mistakes ?? null;
    } catch {
      return null; // the mistakes are shown when the story runs
    }
  }

  #isLinked(name) {
    const link = this.node.inputs?.find((input) => input.widget?.name === name)?.link;
    // Over a subgraph's input comes what its own widget shows: in some hosts this very textarea.
    return link != null && this.node.graph?.getLink(link)?.origin_id !== SUBGRAPH_INPUT;
  }
}

const counted = (count, noun) => `${count} ${noun}${count === 1 ? "" : "s"}`;

/** Lets `after` follow what a node does at an event of the host's. */
function follow(node, event, after) {
  const before = node[event];
  node[event] = function (...given) {
    const result = before?.apply(this, given);
    after();
    return result;
  };
}

const style = document.createElement("link");
style.rel = "stylesheet";
style.href = new URL("./script_widget.css", import.meta.url).href;
document.head.append(style);

app.registerExtension({
  name: "Fabula.ScriptEditor",
  nodeCreated(node) {
    if (node.comfyClass !== NODE) return;
    const widgets = ["characters", "panels"].map((name) => node.widgets?.find((widget) => widget.name === name));
    // A host that makes its text fields in another way keeps them.
    if (widgets.every((widget) => widget?.element instanceof HTMLTextAreaElement && widget.options?.setValue)) {
      new Story(node, ...widgets).start();
    }
  },
});
