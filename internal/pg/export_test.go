package pg

// CatalogForm is catalogForm.
const CatalogForm = catalogForm
