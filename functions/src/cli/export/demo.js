// The page asks the model in this worker where it would ask a server.

globalThis.ampoule = (() => {
  const reply = (status, body) => new Response(JSON.stringify(body), { status });
  const asked = new Map();
  let count = 0;
  let broken = null;
  let worker = null;

  function fail(error) {
    broken = { error, code: "not_loaded" };
    for (const resolve of asked.values()) resolve({ status: 500, body: broken });
    asked.clear();
  }

  const served = "the page has to come from a web server, such as `python3 -m http.server` in its folder";
  if (location.protocol === "file:") {
    broken = { error: `browsers load no modules from files: ${served}`, code: "not_served" };
  } else {
    document.getElementById("trouble").textContent = "Opening the model …";
    worker = new Worker("./worker.js", { type: "module" });
    worker.onerror = (event) => fail(`the model can't be loaded: ${event.message || served}`);
    worker.onmessage = ({ data: { id, ...answer } }) => {
      asked.get(id)?.(answer);
      asked.delete(id);
    };
  }

  function ask(question) {
    if (broken) return { status: 500, body: broken };
    const id = (count += 1);
    return new Promise((resolve) => {
      asked.set(id, resolve);
      worker.postMessage({ id, ...question });
    });
  }

  return async (path, { body } = {}) => {
    const answer = await ask(path === "models" ? { models: true } : { body });
    return reply(answer.status, answer.body);
  };
})();
