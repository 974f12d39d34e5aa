// Ask before anything is done: a dialog, with a word to type where much hangs on it.

import { h } from "./dom.js"
import { problem } from "./problem.js"

// `fields`: inputs (fields.js) whose values `act` gets. Resolves to what `act` gave, or undefined where the person thought better of it (Escape, too).
export function confirm({ title, told, verb, word, fields = [], act }) {
  return new Promise((resolve) => {
    let result
    const said = h("div")
    const typed = word && h("input", { id: "typed", autocomplete: "off", autocapitalize: "off", spellcheck: "false", oninput: judge })
    const go = h("button", { type: "submit", class: "strong", disabled: Boolean(word) }, verb)
    const back = h("button", { type: "button", onclick: () => dialog.close() }, "Cancel")
    const dialog = h("dialog", { "aria-labelledby": "asked", onclose: () => { dialog.remove(); resolve(result) } },
      h("form", { onsubmit: done },
        h("h2", { id: "asked" }, title),
        [told].flat().map((line) => h("p", {}, line)),
        fields.map((field) => field.node),
        word && h("p", {}, h("label", { for: "typed" }, "Type ", h("strong", {}, word), " to confirm"), typed),
        said, h("p", { class: "row end" }, back, go)))

    function judge() {
      go.disabled = typed.value.trim() !== word
    }

    async function done(event) {
      event.preventDefault()
      go.disabled = true
      try {
        result = await act(Object.fromEntries(fields.map((field) => [field.name, field.value()])))
        dialog.close()
      } catch (error) {
        said.replaceChildren(problem(error))
        go.disabled = false
      }
    }

    document.body.append(dialog)
    dialog.showModal()
    ;(typed || back).focus()
  })
}
