
// What is typed is sent after a pause; an answer to what is no longer there is dropped. HTML comes
// from the server, which has escaped every text in it; what this script writes is text.
(() => {
  const byId = (id) => document.getElementById(id);
  const fields = ["expression", "shapes", "wrt"].map(byId);
  const [said, mark, checked] = ["said", "mark", "checked"].map(byId);
  const [answer, headline, contents, sections] =
    ["answer", "headline", "contents", "sections"].map(byId);
  const here = Math.random().toString(36).slice(2);
  const PAUSE = 250;
  let timer = 0;
  let newest = 0;

  function typed(action) {
    const [expression, shapes, wrt] = fields.map((field) => field.value);
    return { action, page: here, expression, shapes, wrt };
  }

  async function ask(action) {
    const response = await fetch("ask", {
      method: "POST",
      headers: { "Content-Type": "application/json" },
      body: JSON.stringify(typed(action)),
    });
    if (!response.ok) throw new Error((await response.text()).trim());
    return response.json();
  }

  function later() {
    newest += 1;
    checked.textContent = "";
    clearTimeout(timer);
    timer = setTimeout(derive, PAUSE);
  }

  async function derive() {
    const number = ++newest;
    answer.setAttribute("aria-busy", "true");
    let found;
    try {
      found = await ask("derive");
    } catch (error) {
      found = { error: { field: "", message: `The server does not answer: ${error.message}` } };
    }
    if (number !== newest || found.stale) return;
    answer.setAttribute("aria-busy", "false");
    if (found.error) show(found.error); else update(found);
  }

  function show(error) {  // the last good answer stays
    answer.classList.add("old");
    for (const field of fields) {
      field.setAttribute("aria-invalid", String(field.id === error.field));
    }
    said.textContent = error.message;
    const text = fields[0].value;
    mark.hidden = !error.column;
    if (!error.column) return;
    // columns count characters, not the halves of those that UTF-16 takes in two
    const letters = [...text];
    const at = Math.min(error.column - 1, letters.length);
    const place = document.createElement("mark");
    place.textContent = letters[at] && letters[at].trim() ? letters[at] : "\u00a0";
    mark.replaceChildren(letters.slice(0, at).join(""), place, letters.slice(at + 1).join(""));
  }

  function update(found) {
    answer.classList.remove("old");
    for (const field of fields) field.setAttribute("aria-invalid", "false");
    said.textContent = "";
    mark.hidden = true;
    const open = new Map();
    for (const section of sections.children) {
      open.set(section.id, [...section.querySelectorAll("details")].map((d) => d.open));
    }
    headline.innerHTML = found.headline;
    sections.innerHTML = found.sections.map((section) => section.html).join("");
    for (const section of sections.children) {
      section.querySelectorAll("details").forEach((detail, number) => {
        const before = open.get(section.id)?.[number];
        if (before !== undefined) detail.open = before;
      });
    }
    const list = document.createElement("ul");
    for (const section of found.sections) {
      const link = document.createElement("a");
      link.href = `#${section.key}`;
      link.textContent = section.title;
      const item = document.createElement("li");
      item.append(link);
      list.append(item);
    }
    contents.replaceChildren(list);
  }

  byId("check").addEventListener("click", async () => {
    const number = newest;
    checked.className = "";
    checked.textContent = "Checking …";
    let found;
    try {
      found = await ask("check");
    } catch (error) {
      found = { error: { message: error.message } };
    }
    if (number !== newest) return;
    if (found.check) {
      const where = found.check.where ? `, ${found.check.where}` : "";
      checked.textContent =
        `Largest relative error ${found.check.error} against finite differences, ` +
        `at random values${where}`;
    } else if (found.error) {
      checked.className = "wrong";
      checked.textContent = found.error.message;
    }
  });

  for (const field of fields) field.addEventListener("input", later);
  document.querySelector(".examples").addEventListener("click", (event) => {
    const button = event.target.closest("button[data-example]");
    if (!button) return;
    JSON.parse(button.dataset.example).forEach((text, number) => { fields[number].value = text; });
    checked.textContent = "";
    clearTimeout(timer);
    derive();
  });
  derive();
})();
