element.addEventListener("click", (event) => {
  const button = event.target.closest("[data-sample]");
  if (button) trigger("click", { sample: button.dataset.sample });
});
