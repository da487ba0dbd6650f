// SPDX-License-Identifier: MIT
#include "ConstraintAdjoint.h"
#include <cmath>
#include <map>
#include <numeric>
#include <utility>

using namespace OpenMM;
using namespace std;

namespace OpenMMGrad {

namespace {

/** Solve matrix x = b for the rows of b, n x n, by elimination with pivoting; both are overwritten. */
void solve(vector<vector<double> >& matrix, vector<double>& b) {
    const int n = b.size();
    for (int column = 0; column < n; column++) {
        int pivot = column;
        for (int row = column + 1; row < n; row++)
            if (fabs(matrix[row][column]) > fabs(matrix[pivot][column]))
                pivot = row;
        swap(matrix[column], matrix[pivot]);
        swap(b[column], b[pivot]);
        for (int row = column + 1; row < n; row++) {
            const double factor = matrix[row][column] / matrix[column][column];
            if (factor == 0)
                continue;
            for (int k = column; k < n; k++)
                matrix[row][k] -= factor * matrix[column][k];
            b[row] -= factor * b[column];
        }
    }
    for (int row = n - 1; row >= 0; row--) {
        for (int k = row + 1; k < n; k++)
            b[row] -= matrix[row][k] * b[k];
        b[row] /= matrix[row][row];
    }
}

int root(vector<int>& parents, int i) {
    while (parents[i] != i)
        i = parents[i] = parents[parents[i]];
    return i;
}

} // namespace

ConstraintAdjoint::ConstraintAdjoint(const System& system) {
    const int n = system.getNumParticles();
    vector<int> parents(n);
    iota(parents.begin(), parents.end(), 0);
    vector<Constraint> constraints;
    for (int index = 0; index < system.getNumConstraints(); index++) {
        Constraint c;
        double distance;
        system.getConstraintParameters(index, c.i, c.j, distance);
        if (system.getParticleMass(c.i) == 0 && system.getParticleMass(c.j) == 0)
            continue;
        constraints.push_back(c);
        parents[root(parents, c.i)] = root(parents, c.j);
    }
    map<int, Cluster> byRoot;
    for (const Constraint& c : constraints)
        byRoot[root(parents, c.i)].push_back(c);
    for (const auto& entry : byRoot)
        clusters.push_back(entry.second);
    for (int i = 0; i < n; i++)
        inverseMasses.push_back(system.getParticleMass(i) > 0 ? 1 / system.getParticleMass(i) : 0);
}

void ConstraintAdjoint::pullBack(const vector<Vec3>& before, const vector<Vec3>& free, const vector<Vec3>& after,
                                 vector<Vec3>& g, vector<Vec3>& gBefore) const {
    for (const Cluster& cluster : clusters)
        pullBack(cluster, before, free, after, g, gBefore);
}

void ConstraintAdjoint::pullBack(const Cluster& cluster, const vector<Vec3>& before, const vector<Vec3>& free,
                                 const vector<Vec3>& after, vector<Vec3>& g, vector<Vec3>& gBefore) const {
    const int n = cluster.size();
    vector<Vec3> oldBonds(n), newBonds(n);
    vector<double> mu(n), nu(n);
    for (int c = 0; c < n; c++) {
        const int i = cluster[c].i, j = cluster[c].j;
        oldBonds[c] = before[i] - before[j];
        newBonds[c] = after[i] - after[j];
        mu[c] = newBonds[c].dot((after[i] - free[i]) - (after[j] - free[j]));
        nu[c] = oldBonds[c].dot(g[i] * inverseMasses[i] - g[j] * inverseMasses[j]);
    }
    vector<vector<double> > matrix(n, vector<double>(n)), transposed(n, vector<double>(n));
    for (int c = 0; c < n; c++)
        for (int d = 0; d < n; d++) {
            const Constraint &a = cluster[c], &b = cluster[d];
            const double mass = ((a.i == b.i) - (a.i == b.j)) * inverseMasses[a.i] +
                                ((a.j == b.j) - (a.j == b.i)) * inverseMasses[a.j];
            matrix[c][d] = transposed[d][c] = newBonds[c].dot(oldBonds[d]) * mass;
        }
    solve(matrix, mu);
    solve(transposed, nu);
    for (int c = 0; c < n; c++) {
        g[cluster[c].i] -= newBonds[c] * nu[c];
        g[cluster[c].j] += newBonds[c] * nu[c];
    }
    for (int c = 0; c < n; c++) {
        const int i = cluster[c].i, j = cluster[c].j;
        const Vec3 share = (g[i] * inverseMasses[i] - g[j] * inverseMasses[j]) * mu[c];
        gBefore[i] += share;
        gBefore[j] -= share;
    }
}

} // namespace OpenMMGrad
