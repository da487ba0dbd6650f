// SPDX-License-Identifier: MIT
#include "FrameFeatures.h"
#include "CpuForceDescription.h"
#include "CpuPairList.h"
#include "CpuPairLoops.h"
#include "analysis/FrameThreads.h"
#include "internal/CheckArgument.h"
#include "SplineBasis.h"
#include <algorithm>
#include <atomic>
#include <mutex>
#include <string>

using namespace OpenMM;
using namespace std;

namespace OpenMMGrad {

/** What the loop needs of the force. Both results follow from what it adds up: moments of t in each interval. */
struct FrameFeatures::Spline {
    explicit Spline(const LearnablePairForce& force)
        : loops(CpuPairLoops::choose()), selection(selectionOf(force)), slots(slotsOf(force)),
          numIntervals(force.getNumCoefficients() - 3) {
        for (int i = 0; i < force.getNumParticles(); i++)
            types.push_back(force.getParticleType(i));
        table.numTypes = force.getNumTypes();
        table.numIntervals = numIntervals;
        table.cutoff = force.getCutoffDistance();
        table.inverseWidth = numIntervals / table.cutoff;
        table.slots = slots.data();
        table.energies = nullptr;
        table.forces = nullptr;
        SplineBasis::polynomials(table.basis);
    }

    const CpuPairLoops& loops;
    PairSelection selection;
    vector<int> slots, types;
    int numIntervals;
    CpuSplineTable table;
};

/** One frame at a time: its list, and sums over parts of it. */
class FrameFeatures::Frame {
public:
    Frame(const LearnablePairForce& force, const Spline& spline)
        : spline(spline), numParticles(force.getNumParticles()), periodic(force.usesPeriodicBoundaryConditions()),
          list(numParticles, force.getCutoffDistance(), 0.0, periodic, spline.selection, spline.loops),
          numParts(countParts(numParticles)), numSlots(force.getNumTypePairs() * spline.numIntervals),
          positions(numParticles), sortedPositions(4 * numParticles), sums(numParts) {}
    /** The sums depend on the number of parts: it must not depend on that of threads. */
    static int countParts(int numParticles) { return min(max(numParticles / 2000, 1), 16); }
    int getNumParts() const { return numParts; }

    void build(const double* x, const double* box, ThreadPool& threads) {
        for (int i = 0; i < numParticles; i++)
            positions[i] = Vec3(x[3 * i], x[3 * i + 1], x[3 * i + 2]);
        Vec3 vectors[3];
        for (int k = 0; k < 9 && periodic; k++)
            vectors[k / 3][k % 3] = box[k];
        list.build(positions, vectors, threads);
        for (int k = 0; k < numParticles; k++) {
            const int i = list.getParticle(k);
            for (int axis = 0; axis < 3; axis++)
                sortedPositions[4 * k + axis] = positions[i][axis];
            sortedPositions[4 * k + 3] = spline.types[i];
        }
    }
    void addPart(int part) {
        const int begin = part * static_cast<long long>(numParticles) / numParts;
        const int end = (part + 1) * static_cast<long long>(numParticles) / numParts;
        sums[part].assign(4 * numSlots, 0.0);
        spline.loops.addCoefficientDerivatives(
            CpuPairShare{list, spline.table, begin, end, sortedPositions.data()}, sums[part].data());
    }
    void collect(double* features, double* virial) {
        for (int part = 1; part < numParts; part++)
            for (int k = 0; k < 4 * numSlots; k++)
                sums[0][k] += sums[part][k];
        const int numFeatures = numSlots / spline.numIntervals * (spline.numIntervals + 3);
        fill(features, features + numFeatures, 0.0);
        fill(virial, virial + numFeatures, 0.0);
        for (int slot = 0; slot < numSlots; slot++) {
            const double* moments = &sums[0][4 * slot];
            const int typePair = slot / spline.numIntervals, interval = slot % spline.numIntervals;
            for (int m = 0; m < 4; m++) {
                const int k = slot + 3 * typePair + m;
                for (int p = 0; p < 4; p++)
                    features[k] += spline.table.basis[p][m] * moments[p];
                for (int p = 1; p < 4; p++) // r d/dr = (interval + t) d/dt
                    virial[k] -= p * spline.table.basis[p][m] * (interval * moments[p - 1] + moments[p]);
            }
        }
    }

private:
    const Spline& spline;
    const int numParticles;
    const bool periodic;
    CpuPairList list;
    const int numParts, numSlots;
    vector<Vec3> positions;
    vector<double> sortedPositions; // [sorted][4]: x, y, z and the type
    vector<vector<double> > sums;
};

FrameFeatures::FrameFeatures(const LearnablePairForce& force)
    : force(new LearnablePairForce(force)), spline(new Spline(force)) {}

FrameFeatures::~FrameFeatures() {}

int FrameFeatures::getNumParticles() const { return force->getNumParticles(); }

int FrameFeatures::getNumFeatures() const { return force->getNumTypePairs() * force->getNumCoefficients(); }

void FrameFeatures::compute(const double* positions, const double* boxes, int numFrames, int numThreads,
                            double* features, double* virial) const {
    const bool periodic = force->usesPeriodicBoundaryConditions();
    CHECK_ARG(!periodic || boxes != nullptr, "frames with boxes were expected, found none. Give each frame's box.");
    for (int s = 0; s < numFrames && periodic; s++) {
        const double *b = boxes + 9 * s, width = min({b[0], b[4], b[8]}), cutoff = force->getCutoffDistance();
        CHECK_ARG(b[1] == 0 && b[2] == 0 && b[5] == 0,
                  "box vectors with a along x and b in the xy plane were expected, found others in frame "
                      << s << ". Turn the frames.");
        CHECK_ARG(cutoff <= 0.5 * width,
                  "the cutoff (" << cutoff << " nm) must not exceed half the smallest box width (" << width
                                 << " nm) of frame " << s << ". Use a larger box or a smaller cutoff.");
    }
    auto frameOf = [&](const double* array, int width, int s) { return array + static_cast<size_t>(s) * width; };
    const int size = getNumFeatures(), numParticles = force->getNumParticles();
    auto build = [&](Frame& frame, int s, ThreadPool& pool) {
        frame.build(frameOf(positions, 3 * numParticles, s), periodic ? frameOf(boxes, 9, s) : nullptr, pool);
    };
    auto collect = [&](Frame& frame, int s) {
        frame.collect(features + static_cast<size_t>(s) * size, virial + static_cast<size_t>(s) * size);
    };
    const FrameShares shares(numFrames, numThreads, Frame::countParts(numParticles));
    ThreadPool threads(shares.threads);
    atomic<int> next(0);
    mutex lock;
    string problem;
    threads.execute([&](ThreadPool&, int) {
        if (shares.whole == 0)
            return;
        Frame frame(*force, *spline);
        ThreadPool alone(1);
        for (int s = next++; s < shares.whole; s = next++)
            try {
                build(frame, s, alone);
                for (int part = 0; part < frame.getNumParts(); part++)
                    frame.addPart(part);
                collect(frame, s);
            } catch (const exception& error) {
                lock_guard<mutex> guard(lock);
                problem = error.what();
            }
    });
    threads.waitForThreads();
    if (!problem.empty())
        throw OpenMMException(problem);
    if (shares.whole == numFrames)
        return;
    Frame frame(*force, *spline);
    for (int s = shares.whole; s < numFrames; s++) {
        build(frame, s, threads);
        next = 0;
        threads.execute([&](ThreadPool&, int) {
            for (int part = next++; part < frame.getNumParts(); part = next++)
                frame.addPart(part);
        });
        threads.waitForThreads();
        collect(frame, s);
    }
}

} // namespace OpenMMGrad
