// Show the summary as Slack shows it: the blocks that were posted, their few marks of mrkdwn read.

import { h } from "./dom.js"

const MARKS = /\*([^*\n]+)\*|`([^`\n]+)`|<(https?:\/\/[^|>\s]+)\|([^>]+)>/g
const ENTITIES = { "&lt;": "<", "&gt;": ">", "&amp;": "&" }

export function slack(blocks) {
  return h("div", { class: "slack" }, blocks.map(block))
}

function block(each) {
  if (each.type === "header") return h("p", { class: "headline" }, each.text.text)
  if (each.type === "context") return h("p", { class: "hint" }, each.elements.map((element) => mrkdwn(element.text)))
  if (each.fields) return h("div", { class: "fields" }, each.fields.map((field) => h("p", {}, mrkdwn(field.text))))
  return each.text ? h("p", {}, mrkdwn(each.text.text)) : null
}

function mrkdwn(text) {
  const nodes = []
  let at = 0
  for (const match of text.matchAll(MARKS)) {
    const [whole, bold, code, url, label] = match
    nodes.push(plain(text.slice(at, match.index)), bold ? h("strong", {}, plain(bold)) : code ? h("code", {}, plain(code))
      : h("a", { href: plain(url), rel: "noreferrer", target: "_blank" }, plain(label)))
    at = match.index + whole.length
  }
  return [...nodes, plain(text.slice(at))]
}

const plain = (text) => text.replace(/&(lt|gt|amp);/g, (entity) => ENTITIES[entity])
